"""What `plan --apply` has set, as it is stored for `undo`: which sysctls, and which values these take.

The file may have been damaged, or written by somebody else: nothing in it is written to /proc/sys unchecked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from fourtuple.core.limits.table import SYSCTLS

RANGE, RESERVED, TCP_MEM = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_mem"


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sysctl that was set: where, its old value, its new value, and when (seconds since 1970)."""

    boot: str
    netns: str
    name: str
    before: str
    after: str
    at_s: int

    def __post_init__(self) -> None:
        for value in (self.before, self.after):
            if not takes(self.name, value):
                raise ValueError(f"{self.name[:100]!r} is not a setting of `plan` that takes {value[:100]!r}")


def takes(name: str, value: str) -> bool:
    """Whether `name` is one of SYSCTLS, and the value has its form (Documentation/networking/ip-sysctl.rst, v6.18)."""
    return name in SYSCTLS and _FORMS.get(name, _is_number)(value)


def encode_settings(settings: Sequence[Setting]) -> bytes:
    """The settings as JSON."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=2)


def parse_settings(content: bytes) -> list[Setting]:
    """The settings in that JSON. Raises ValueError if it is anything else."""
    try:
        return msgspec.json.decode(content, type=list[Setting])
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[0-9]{1,20}", value) is not None


def _is_tcp_mem(value: str) -> bool:
    """Three numbers of pages."""
    return re.fullmatch(r"[0-9]{1,20}( [0-9]{1,20}){2}", value) is not None


def _is_port_range(value: str) -> bool:
    """The first and the last port."""
    return re.fullmatch(r"[0-9]{1,5} [0-9]{1,5}", value) is not None and _ascends(value.split(" "), least=1)


def _is_port_list(value: str) -> bool:
    """Ports and ranges of ports, such as `8080,9000-9009`; empty: none."""
    parts = value.split(",") if value else []
    return all(re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", part) and _ascends(part.split("-"), least=0) for part in parts)


def _ascends(ports: Sequence[str], least: int) -> bool:
    return least <= int(ports[0]) <= int(ports[-1]) <= 65535


# A setting that is missing here takes one number.
_FORMS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {RANGE: _is_port_range, RESERVED: _is_port_list, TCP_MEM: _is_tcp_mem}
)
