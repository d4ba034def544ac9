"""How a tunnel is asked for by SOCKS5 (RFC 1928), with a user and a password (RFC 1929)."""

import ipaddress
import struct

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.engine.protocols.foreign import foreign
from fourtuple.engine.protocols.proxy import Negotiated

VERSION, LOGIN_VERSION = 5, 1
NO_LOGIN, LOGIN, NONE_OF_THEM = 0, 2, 255
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4
ADDRESS_BYTES = {IPV4: 4, IPV6: 16}
MOST_BYTES = 255  # of a name, a user or a password
REPLIES = {
    1: "general failure",
    2: "not allowed by the ruleset",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}  # RFC 1928, 6


@dataclass(frozen=True, slots=True)
class SocksRequest:
    """What is sent for every tunnel to one destination.

    methods: the methods of authentication that are offered
    login:   user and password; empty: none
    connect: the request itself
    """

    methods: bytes
    login: bytes
    connect: bytes

    @staticmethod
    def of(host: str, port: int, user: str = "", password: str = "") -> "SocksRequest":
        """A host that is a name is resolved by the proxy. Raises UsageError for what is too long for SOCKS."""
        has_login = bool(user or password)
        offered = bytes([NO_LOGIN, LOGIN] if has_login else [NO_LOGIN])
        login = bytes([LOGIN_VERSION]) + _counted("the user", user) + _counted("the password", password)
        connect = bytes([VERSION, CONNECT, 0]) + _address(host) + struct.pack(">H", port)
        return SocksRequest(bytes([VERSION, len(offered)]) + offered, login if has_login else b"", connect)


class Socks5:
    """One tunnel: the proxy chooses a method, accepts the login if that is it, and replies to the request."""

    __slots__ = ("_received", "_request", "_step")

    def __init__(self, request: SocksRequest) -> None:
        self._request = request
        self._received = b""
        self._step = self._chosen

    def begin(self) -> bytes:
        return self._request.methods

    def received(self, data: bytes) -> Negotiated:
        self._received += data
        send = b""
        while (negotiated := self._step()) is not None:
            send += negotiated.send
            if negotiated.failed or negotiated.rest is not None:
                return Negotiated(send, negotiated.failed, negotiated.rest)
        return Negotiated(send)

    def _chosen(self) -> Negotiated | None:
        """The method of authentication: version, method; None: it is not yet here."""
        if self._received[:1] not in (b"", bytes([VERSION])):
            return Negotiated(failed=foreign("SOCKS5", self._received))
        if len(self._received) < 2:
            return None
        method, self._received = self._received[1], self._received[2:]
        if method == LOGIN and self._request.login:
            self._step = self._accepted
            return Negotiated(self._request.login)
        if method == NO_LOGIN:
            self._step = self._replied
            return Negotiated(self._request.connect)
        refused = "no method of authentication is accepted" if method == NONE_OF_THEM else "a method was not offered"
        return Negotiated(failed=refused)

    def _accepted(self) -> Negotiated | None:
        """The status of the login: version, status."""
        if len(self._received) < 2:
            return None
        status, self._received = self._received[1], self._received[2:]
        self._step = self._replied
        return Negotiated(failed="user and password are refused") if status else Negotiated(self._request.connect)

    def _replied(self) -> Negotiated | None:
        """The reply: version, code, 0, type of the address, the address with its length if it is a name, the port."""
        data = self._received
        if data[:1] not in (b"", bytes([VERSION])):
            return Negotiated(failed="a malformed reply")
        if len(data) >= 2 and data[1]:
            return Negotiated(failed=f"reply {data[1]} ({REPLIES.get(data[1], 'unassigned')})")
        if len(data) < 5:
            return None
        size = ADDRESS_BYTES.get(data[3], 1 + data[4] if data[3] == NAME else 0)
        if not size:
            return Negotiated(failed="a malformed reply")
        end = 4 + size + 2
        return Negotiated(rest=data[end:]) if len(data) >= end else None


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bytes([NAME]) + _counted("the host", host)
    return bytes([IPV4 if address.version == 4 else IPV6]) + address.packed


def _counted(what: str, text: str) -> bytes:
    """The text after its length in one byte."""
    data = text.encode(errors="surrogateescape")
    if len(data) > MOST_BYTES:
        raise UsageError(f"{what} of a SOCKS proxy", f"it has {len(data)} bytes", f"At most {MOST_BYTES} can be sent.")
    return bytes([len(data)]) + data
