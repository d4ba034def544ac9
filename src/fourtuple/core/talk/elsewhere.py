"""What can be done for a destination whose scheme is not one of ours: the protocol is spoken in another way, or not."""

import re
from types import MappingProxyType

from fourtuple.core.nearest import nearest
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import UNIX
from fourtuple.core.talk.session import Scheme


@dataclass(frozen=True, slots=True)
class OtherProtocol:
    """A protocol that plain text speaks far enough to hold its connections.

    port:    registered with IANA
    secure:  it runs inside TLS
    options: the dialogue for `hold`, tried against a real server or taken from the specification
    """

    port: int
    options: str
    secure: bool = False


_REDIS = r"--send 'PING\r\n' --expect '+PONG\r\n'"
_IMAP, _POP3, _SMTP, _FTP = r"--expect 're:^\* OK'", r"--expect 're:^\+OK'", "--expect 're:^220'", "--expect 're:^220'"
# RFC 9113, 3.4: the preface and an empty SETTINGS frame; the server answers with a frame of type 4.
_HTTP2 = (
    r"--first 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0' --expect 're:(?s)^...\x04'"
)  # fmt: skip
# PostgreSQL, 54.7: SSLRequest, answered by one byte. AMQP 0-9-1, 4.2.2. MySQL: OtherProtocol::Handshake, version 10.
_POSTGRES = r"--first '\0\0\0\x08\x04\xd2\x16\x2f' --expect 1B"
_AMQP = r"--first 'AMQP\0\0\x09\x01' --expect 're:^\x01'"
_MYSQL = r"--expect 're:(?s)^...\x00\x0a'"
_NATS = r"--expect 're:^INFO .*\r\n' --send 'PING\r\n' --expect 'PONG\r\n'"

PROTOCOLS = MappingProxyType(
    {
        "redis": OtherProtocol(6379, _REDIS),
        "rediss": OtherProtocol(6379, _REDIS, secure=True),
        "memcached": OtherProtocol(11211, r"--send 'version\r\n' --expect 're:^VERSION .*\r\n'"),
        "nats": OtherProtocol(4222, _NATS),
        "smtp": OtherProtocol(25, _SMTP),
        "smtps": OtherProtocol(465, _SMTP, secure=True),
        "imap": OtherProtocol(143, _IMAP),
        "imaps": OtherProtocol(993, _IMAP, secure=True),
        "pop3": OtherProtocol(110, _POP3),
        "pop3s": OtherProtocol(995, _POP3, secure=True),
        "ftp": OtherProtocol(21, _FTP),
        "ssh": OtherProtocol(22, r"--expect 're:^SSH-2\.0-.*\r\n'"),
        "sftp": OtherProtocol(22, r"--expect 're:^SSH-2\.0-.*\r\n'"),
        "postgres": OtherProtocol(5432, _POSTGRES),
        "postgresql": OtherProtocol(5432, _POSTGRES),
        "mysql": OtherProtocol(3306, _MYSQL),
        "mariadb": OtherProtocol(3306, _MYSQL),
        "amqp": OtherProtocol(5672, _AMQP),
        "amqps": OtherProtocol(5671, _AMQP, secure=True),
        "grpc": OtherProtocol(50051, _HTTP2),
        "h2c": OtherProtocol(80, _HTTP2),
        "h2": OtherProtocol(443, f"--alpn h2 {_HTTP2}", secure=True),
        "grpcs": OtherProtocol(443, f"--alpn h2 {_HTTP2}", secure=True),
    }
)
_NOT_TCP = ("udp", "quic", "http3", "h3", "coap", "dns", "rtp", "sip", "stun")
_WITH_UNIX = re.compile(r"(.+)\+unix|unix\+(.+)|(http)unix|ipc|uds")  # curl has --unix-socket, nginx http://unix:PATH:
_NAMES_UNIX = re.compile(r"unix:(?!\d)", re.IGNORECASE)
_SOCKET_AND_PATH = re.compile(r"(.*?\.sock(?:et)?(?=[:/]|$)|[^:]*):?(.*)", re.DOTALL)
_PROXIES = ("socks", "socks4", "socks4a", "socks5", "socks5h")


def advice_on(name: str, rest: str) -> tuple[str, str]:
    """(what is wrong with the scheme, what to do), the last two parts of an error.

    rest: what follows `://`
    """
    known = f"{', '.join(Scheme)} and unix"
    if name in PROTOCOLS:
        protocol = PROTOCOLS[name]
        end = rest.partition("/")[0].rpartition("@")[2] or "127.0.0.1"
        has_port = end.rpartition("]")[2].rpartition(":")[1]
        where = f"{'tls' if protocol.secure else 'tcp'}://{end if has_port else f'{end}:{protocol.port}'}"
        return f"{name} is not a known scheme ({known})", f"Say it as text: {where} {protocol.options}"
    if name in _NOT_TCP:
        return f"{name} does not run over TCP", f"Known schemes: {known}."
    if name in _PROXIES:
        return "it is a proxy", f"Write --proxy {name}://{rest} and the destination behind it."
    near = nearest(name, [*Scheme, "unix"])
    do = f"Did you mean {near}://{rest}?" if near else "Any other protocol is text over tcp:// or tls://."
    return f"{name} is not a known scheme ({known})", do


def over_unix(name: str, rest: str) -> str:
    """What to do for a URL that has a Unix socket in it, as other programs write it; empty: it has none."""
    if found := _WITH_UNIX.fullmatch(name):
        inner = next(filter(None, found.groups()), "")
    elif _NAMES_UNIX.match(rest):
        inner, rest = name, rest[len(UNIX) :]
    else:
        return ""
    from urllib.parse import unquote

    coded, slash, path = rest.partition("/")
    if "%2f" in coded.lower():  # the whole path in the place of the host, as requests-unixsocket takes it
        socket, path = unquote(coded), f"{slash}{path}"
    else:
        socket, path = _SOCKET_AND_PATH.findall(rest)[0]
    if inner in PROTOCOLS:
        return f"Say it as text: {UNIX}{socket} {PROTOCOLS[inner].options}"
    if inner in [*Scheme] and inner != Scheme.TCP:
        where = f"{inner}://localhost{'' if Scheme(inner).port else ':443'}"
        path = (path or "/") if Scheme(inner).inner in (Scheme.HTTP, Scheme.WS) else ""
        return f"Write {where}{path} --unix-socket {socket}."
    return f"Write {UNIX}{socket}."


def unix_advice(rest: str) -> str:
    """What to write for `unix://` and what follows it, which is no path from the root."""
    host, slash, path = rest.partition("/")
    if slash and host not in ("localhost", "127.0.0.1"):
        return f"Write {UNIX}/{rest}, or {UNIX}{rest} for a path from here."
    return f"Write {UNIX}{slash}{path}." if slash else f"Write {UNIX}{rest}."
