"""The settings of source ports, as the text of sysctls, and what is known of the kernel, as one record.

Documentation/networking/ip-sysctl.rst (v6.18)
"""

from collections.abc import Mapping, Sequence

from fourtuple.core.limits import behaviours
from fourtuple.core.limits.behaviours import Behaviour, is_known, is_possible
from fourtuple.core.limits.facts import TW_REUSE, TW_REUSE_DELAY_MS, UNPRIVILEGED_START, PortFacts
from fourtuple.core.numbers import number_of, signed_number_of
from fourtuple.core.space.ranges import Ranges

PORT_RANGE, RESERVED_PORTS = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
# The behaviour of kernels that do not have these settings yet.
BEFORE = {
    "net.ipv4.ip_unprivileged_port_start": UNPRIVILEGED_START,
    "net.ipv4.tcp_tw_reuse": TW_REUSE,
    "net.ipv4.tcp_tw_reuse_delay": TW_REUSE_DELAY_MS,
    "net.ipv4.tcp_timestamps": 1,
}


def port_facts(settings: Mapping[str, str], known: Sequence[Behaviour]) -> PortFacts:
    """The port settings. Raises ValueError if the range is missing, or a text is not what it should be.

    settings: text by the name of the sysctl; what is missing, the kernel does not have
    known:    the behaviour of the kernel
    """
    numbers = [_number(name, settings.get(name, str(default))) for name, default in BEFORE.items()]
    unprivileged_start, tw_reuse, tw_reuse_delay_ms, timestamps = numbers
    return PortFacts(
        parse_port_range(settings.get(PORT_RANGE, "")),
        parse_port_list(settings.get(RESERVED_PORTS, "")),
        unprivileged_start=unprivileged_start,
        tw_reuse=tw_reuse,
        tw_reuse_delay_ms=tw_reuse_delay_ms,
        timestamps=timestamps != 0,
        tw_reuse_in_ms=is_known(known, behaviours.TW_REUSE_IN_MS),
        fin_wait2_reused=is_possible(known, behaviours.FIN_WAIT2_REUSED),
        range_can_be_set=is_known(known, behaviours.RANGE_CAN_BE_SET),
        range_is_quick=is_known(known, behaviours.RANGE_IN_TURN),
        bind_is_released=is_known(known, behaviours.BIND_RELEASED),
        bound_are_listed=is_known(known, behaviours.BOUND_LISTED),
    )


def parse_port_range(text: str) -> range:
    """Parse net.ipv4.ip_local_port_range, `32768\\t60999`; both bounds are included. Raises ValueError."""
    low, high = text.split()
    return _ports(low, high)


def parse_port_list(text: str) -> Ranges:
    """Parse net.ipv4.ip_local_reserved_ports, `8080,9000-9010`; often empty. Raises ValueError."""
    parts = []
    for item in text.strip().split(",") if text.strip() else []:
        low, dash, high = item.partition("-")
        parts.append(_ports(low, high if dash else low))
    return Ranges(parts)


def _ports(first: str, last: str) -> range:
    """The range with both bounds. Raises ValueError unless both are ports, in ascending order."""
    low, high = number_of(first), number_of(last)
    if low is None or high is None or not low <= high <= 65535:
        raise ValueError(f"{first!r} to {last!r} is not a range of ports")
    return range(low, high + 1)


def _number(name: str, text: str) -> int:
    number = signed_number_of(text.strip())
    if number is None:
        raise ValueError(f"{name.rpartition('.')[2]} is not a number: {text.strip()!r}")
    return number
