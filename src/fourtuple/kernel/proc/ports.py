"""Which source ports this network namespace has: the settings that decide it, as one record.

Documentation/networking/ip-sysctl.rst (v6.18)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fourtuple.core.errors import CannotError
from fourtuple.core.limits import behaviours
from fourtuple.core.limits.behaviours import Behaviour, is_known, is_possible
from fourtuple.core.limits.facts import TW_REUSE, TW_REUSE_DELAY_MS, UNPRIVILEGED_START, PortFacts
from fourtuple.core.numbers import number_of, signed_number_of
from fourtuple.core.space.ranges import Ranges
from fourtuple.kernel.proc.files import PROC
from fourtuple.kernel.proc.sysctl import NOTHING

PORT_RANGE = "net.ipv4.ip_local_port_range"

# The behaviour of kernels that do not have these settings yet.
BEFORE = {
    "ip_unprivileged_port_start": UNPRIVILEGED_START,
    "tcp_tw_reuse": TW_REUSE,
    "tcp_tw_reuse_delay": TW_REUSE_DELAY_MS,
    "tcp_timestamps": 1,
}


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


def read_port_facts(known: Sequence[Behaviour], proc: Path = PROC, assumed: Mapping[str, str] = NOTHING) -> PortFacts:
    """The port settings of this thread's network namespace.

    known:   the behaviour of this kernel (kernel/probes.py)
    assumed: values of sysctls that are taken instead of those of this host

    Raises CannotError if one is unreadable or truncated.
    """
    ipv4 = proc / "sys/net/ipv4"
    try:
        port_range = parse_port_range(_setting(ipv4 / "ip_local_port_range", assumed))
        reserved = parse_port_list(_setting(ipv4 / "ip_local_reserved_ports", assumed, ""))
        numbers = [_number(ipv4 / name, assumed, default) for name, default in BEFORE.items()]
    except (OSError, ValueError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else "not UTF-8" if isinstance(error, UnicodeError) else error
        )
        raise CannotError("the range of source ports", f"{reason} ({ipv4 / 'ip_local_port_range'})") from None
    unprivileged_start, tw_reuse, tw_reuse_delay_ms, timestamps = numbers
    return PortFacts(
        port_range,
        reserved,
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


def _number(file: Path, assumed: Mapping[str, str], default: int) -> int:
    """A setting that is one number. Raises OSError, ValueError."""
    text = _setting(file, assumed, str(default)).strip()
    number = signed_number_of(text)
    if number is None:
        raise ValueError(f"{file.name} is not a number: {text!r}")
    return number


def _setting(file: Path, assumed: Mapping[str, str], default: str | None = None) -> str:
    """The text of a setting; default: its value if the file does not exist. Raises OSError; ValueError if truncated."""
    if (name := f"net.ipv4.{file.name}") in assumed:
        return assumed[name]
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if default is None:
            raise
        return default
    if not text.endswith("\n"):
        raise ValueError(f"{file.name} is truncated: {text!r}")
    return text
