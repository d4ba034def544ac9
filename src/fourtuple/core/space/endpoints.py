"""The endpoints of a connection: as values, and as typed on the command line."""

import ipaddress
import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import TypeVar
from unicodedata import normalize

from fourtuple.core.backports import Self
from fourtuple.core.errors import UsageError
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass

T = TypeVar("T")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = range(1, 65536)  # port 0 cannot be requested: for bind() it means "choose one" (ip(7))
# The port that a URL means if it names none: RFC 9110, RFC 6455; those of MQTT are registered with IANA.
URL_PORTS = MappingProxyType({"http": 80, "https": 443, "ws": 80, "wss": 443, "mqtt": 1883, "mqtts": 8883})
UNIX = "unix:"
NOT_FOUR = "an IPv4 address has four decimal numbers from 0 to 255"
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:[.。](?:0x[0-9a-f]*|\d+))*[.。]?", re.IGNORECASE)
_SOCKET = re.compile(r"(?:/(?!/)|\.{1,2}/|~|@)[^,]+|[^:,]+\.sock(?:et)?", re.DOTALL)  # what is no host
_COMMA = re.compile(r",(?:unix:|(?=[/@]|\.{1,2}/))|(?<=\.sock),", re.IGNORECASE)  # a path may have one, too
_WITH_UNIX = (
    "Write 127.0.0.1:8000. `hold`, `churn` and `serve` take Unix sockets; files, memory and a queue limit those."
)
MOST_NAME_BYTES = 107  # sun_path has 108, and ends with a zero byte or begins with one (unix(7))


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One end of a connection. `str()` gives `10.0.0.4:80` or `[fd00::1]:80`, which `parse` reads back."""

    address: Address
    port: int

    def __post_init__(self) -> None:
        if self.port not in range(65536):
            raise UsageError(f"port {self.port}", "ports range from 0 to 65535")

    def __str__(self) -> str:
        host = str(self.address)
        return f"[{host}]:{self.port}" if self.address.version == 6 else f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse one address with one port. Raises UsageError."""
        spec = EndpointSpec.parse(text)
        if spec.ports is None:
            raise spec.no_port("address", text)
        if len(spec.ports) != 1:
            one = EndpointSpec(spec.host, spec.ports[:1])
            many = f"it has {len(spec.ports):,} ports, and one is needed"
            raise UsageError(f"address {text!r}", many, f"Write {one}.")
        return cls(parse_address(spec.host), spec.ports[0])


@dataclass(frozen=True, slots=True)
class FourTuple:
    """The source and the destination of a connection. `str()` gives `10.0.0.1:40000 → 10.0.0.4:80`."""

    source: Endpoint
    destination: Endpoint

    def __str__(self) -> str:
        return f"{self.source} → {self.destination}"


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """`HOST[:PORT[-PORT]]` as typed: the host may still be a name or a range of addresses.

    ports: None: not given
    """

    host: str
    ports: range | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split the text into host and ports. Whether the host is an address or a name is not checked.

        Raises UsageError, also for what other programs read as an IPv4 address although it has not four numbers.
        """
        host, ports = text.strip(), None
        if "://" in host:
            raise UsageError(f"address {text!r}", "it is a URL", f"Write {_from_url(host)}.")
        if is_unix(host):
            raise UsageError(f"address {text!r}", "it is a Unix socket, which has no ports", _WITH_UNIX)
        if "," in host:
            parts = " ".join(part.strip() for part in host.split(",") if part.strip())
            raise UsageError(f"address {text!r}", "an address has no comma", f"Write each by itself: {parts}.")
        if host.startswith("["):
            host, bracket, rest = host[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                form = "an IPv6 address with a port is written [ADDRESS]:PORT"
                raise UsageError(f"address {text!r}", form, "Write [fd00::1]:8000.")
            ports = parse_ports(rest[1:], text) if rest else None
        elif host.count(":") == 1:
            host, _, rest = host.partition(":")
            ports = parse_ports(rest, text)
        if host in ("", "*"):
            meant = cls("127.0.0.1", ports or range(8000, 8001))
            do = f"Write {meant}, or another address before the port."
            raise UsageError(f"address {text!r}", "it names no host", do)
        spec = cls(host, ports)
        if spec.is_short and not (host.isdecimal() and ports is None):  # a number alone is a port
            raise UsageError(f"address {text!r}", NOT_FOUR, "Write all four, such as 127.0.0.1.")
        return spec

    @property
    def is_short(self) -> bool:
        """Whether the host is written in numbers alone, and is no IPv4 address of four decimal numbers.

        inet_aton(3), and so the resolver, reads `1.2.3` as 1.2.0.3, `0x7f.1` as 127.0.0.1 and `010.0.0.1` as 8.0.0.1.
        Names in the characters of other scripts are read as the ASCII ones that they stand for (RFC 3490).
        """
        return bool(_NUMBERS.fullmatch(normalize("NFKC", self.host))) and not is_address(self.host)

    def no_port(self, wanted: str, text: str) -> UsageError:
        """The error where a port is needed. wanted: what it is; text: as typed"""
        if socket_meant(text):
            return UsageError(f"{wanted} {text!r}", "it looks like a Unix socket, which has no ports", _WITH_UNIX)
        return UsageError(f"{wanted} {text!r}", "the port is missing", f"Write {self.with_port()}.")

    def with_port(self) -> str:
        """The endpoint that a text without a port probably means, for `8000`, `::1:8000` or any other host."""
        if self.host.isdecimal():
            return f"127.0.0.1:{self.host if number_of(self.host) in PORTS else 8000}"
        address, _, last = self.host.rpartition(":")
        if ":" in address and last.isdecimal() and is_address(address):
            return f"[{address}]:{last}"
        return f"[{self.host}]:8000" if ":" in self.host else f"{self.host}:8000"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.ports else self.host
        if not self.ports:
            return host
        first, last = self.ports[0], self.ports[-1]
        return f"{host}:{first}" if first == last else f"{host}:{first}-{last}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A name that has several addresses of an IP version, or a wildcard, which means this host.

    addresses: all of its addresses, in the resolver's order
    used:      those to which connections are opened, in the same order
    """

    host: str
    addresses: tuple[str, ...]
    used: tuple[str, ...]


def several(those: str | Iterable[T]) -> tuple[str | T, ...]:
    """What an argument names that takes several destinations or addresses: a text is a single one of them."""
    return (those,) if isinstance(those, str) else tuple(those)


def listening(text: str) -> str:
    """Where to listen, with what a short form stands for: `8000` this host alone, `:8000` and `*:8000` any address.

    Raises UsageError for what looks like a Unix socket and does not say so.
    """
    if is_unix(text):
        return f"{UNIX}{unix_name(text)}"
    if meant := socket_meant(text):
        raise UsageError(f"address {text!r}", "a Unix socket begins with unix:", f"Write {meant}.")
    if re.fullmatch(r"[0-9]+(-[0-9]+)?", text.strip()):
        return f"127.0.0.1:{text.strip()}"
    return re.sub(r"^\s*\*?:(?=[0-9])", "0.0.0.0:", text)


def is_unix(text: str) -> bool:
    """Whether the text is `unix:PATH`, in capitals or not; `unix:80` is a port of a host with that name."""
    return text[: len(UNIX)].lower() == UNIX and not re.fullmatch(r"[\d-]+", unix_name(text))


def unix_name(text: str) -> str:
    """The path or the abstract name of `unix:NAME`."""
    return text[len(UNIX) :]


def unix_names(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of those texts that are `unix:NAME`: a path each, or `@NAME` for an abstract one. Raises UsageError."""
    return tuple(parse_unix_name(unix_name(text), text) for text in texts if is_unix(text))


def socket_meant(text: str) -> str:
    """The Unix socket that is meant by a path, or by what is called like one, without `unix:`; empty: none is."""
    return f"{UNIX}{text}" if _SOCKET.fullmatch(text) else ""


def parse_unix_name(name: str, text: str) -> str:
    """The name, if a Unix socket can have it.

    text: as typed, for the error

    Raises UsageError.
    """
    several = _COMMA.split(name)
    size_bytes = len(sun_path(name)) - name.startswith("@")
    if not size_bytes or "\0" in name:
        raise UsageError(f"destination {text!r}", "it names no Unix socket", "Write unix:/run/x.sock, or unix:@NAME.")
    if len(several) > 1:
        do = f"Write each by itself: {' '.join(f'{UNIX}{part}' for part in several)}."
        raise UsageError(f"destination {text!r}", "a comma does not separate Unix sockets", do)
    if name.startswith("~"):
        user, _, path = name[1:].partition("/")
        home = f"/home/{user}" if user else "$HOME"
        why = "a shell replaces ~ only where a word begins with it"
        raise UsageError(f"destination {text!r}", why, f"Write {UNIX}{home}/{path}, or {UNIX}./{name} for this name.")
    if size_bytes > MOST_NAME_BYTES:
        raise UsageError(
            f"a path of {size_bytes} bytes", f"that of a Unix socket has at most {MOST_NAME_BYTES} (unix(7))"
        )
    return name


def sun_path(name: str) -> bytes:
    """The name of a Unix socket as the system calls take it: an abstract one begins with a zero byte."""
    path = name.encode(errors="surrogateescape")
    return b"\0" + path[1:] if path.startswith(b"@") else path


def _from_url(text: str) -> str:
    """The endpoint that a URL names: with its own ports, or the one of its scheme."""
    scheme, _, rest = text.partition("://")
    end = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if re.search(r":\d+(-\d+)?$", end):
        return end
    return f"{end.removesuffix(':') or '127.0.0.1'}:{URL_PORTS.get(scheme.lower(), 'PORT')}"


def parse_ports(text: str, where: str) -> range:
    """Parse `8000` or `8000-8019` into a range that includes the last port.

    where: the whole text, for the error

    Raises UsageError.
    """
    first, dash, last = text.partition("-")
    bounds = (first, last if dash else first)
    if not all(bound.isascii() and bound.isdecimal() for bound in bounds):
        raise UsageError(f"port in {where!r}", f"{text!r} is not a number or a range", "Write 8000 or 8000-8019.")
    low, high = (number_of(bound) or 0 for bound in bounds)
    if low not in PORTS or high not in PORTS:
        raise UsageError(f"port in {where!r}", f"{text} is not within 1 to 65535", "Write one that is.")
    if low > high:
        wrong = f"the first port, {low}, is above the last, {high}"
        raise UsageError(f"port range in {where!r}", wrong, f"Write {high}-{low}.")
    return range(low, high + 1)


def parse_address(text: str) -> Address:
    """Parse one IPv4 or IPv6 address. Raises UsageError."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        what = "it is neither an IPv4 nor an IPv6 address"
        raise UsageError(f"address {text!r}", what, "Write 10.0.0.4 or fd00::4.") from None


def is_address(text: str) -> bool:
    """Whether the text is one IPv4 or IPv6 address."""
    try:
        parse_address(text)
    except UsageError:
        return False
    return True


def is_wildcard(text: str) -> bool:
    """Whether the text is `0.0.0.0` or `::`, which for bind() is every address, and for connect() this host."""
    return is_address(text) and parse_address(text).is_unspecified


def parse_addresses(text: str) -> tuple[int, range]:
    """Parse addresses into their IP version and a range of integers. Raises UsageError.

    text: `10.0.0.4`, `10.0.0.2-9`, `10.0.0.2-10.0.1.9`, `10.0.0.0/29` or `fd00::2-9`

    An IPv4 network means its hosts, without the network and broadcast addresses. A network in 127.0.0.0/8, a /31 and an
    IPv6 network mean all their addresses.
    """
    if "/" in text:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise UsageError(f"network {text!r}", str(error), "Write 10.0.0.0/29.") from None
        first, last = int(network.network_address), int(network.broadcast_address)
        if network.version == 4 and network.prefixlen < 31 and not network.is_loopback:
            first, last = first + 1, last - 1
        return network.version, range(first, last + 1)
    low, dash, high = text.partition("-")
    start = parse_address(low)
    if not dash:
        return start.version, range(int(start), int(start) + 1)
    separator = ":" if start.version == 6 else "."
    end = parse_address(high if separator in high else low[: low.rindex(separator) + 1] + high)
    if end.version != start.version:
        raise UsageError(f"address range {text!r}", "it mixes IPv4 and IPv6", "Write one range for each.")
    if int(end) < int(start):
        wrong = f"the first address, {start}, is above the last, {end}"
        raise UsageError(f"address range {text!r}", wrong, f"Write {addresses_text(end, start)}.")
    return start.version, range(int(start), int(end) + 1)


def addresses_text(first: Address, last: Address) -> str:
    """A range of addresses as `parse_addresses` takes it: `10.0.0.4`, `10.0.0.2-9` or `10.0.0.2-10.0.1.9`."""
    if first == last:
        return str(first)
    start, _, _ = str(first).rpartition(".")
    same, _, end = str(last).rpartition(".")
    return f"{first}-{end}" if start and start == same else f"{first}-{last}"


def unpack_address(packed: bytes) -> Address:
    """The address in 4 or 16 bytes in network byte order."""
    return ipaddress.IPv4Address(packed) if len(packed) == 4 else ipaddress.IPv6Address(packed)
