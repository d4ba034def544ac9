"""Which error a text names, by its name or by a number that stands where errnos stand.

A number alone is none: `retries 111 of 500`, `app[98]:`, `Foo.java:99` and `HTTP 105` hold no errno. The numbers of
Linux are written out here, because a log may be read on another system.

Sources: include/uapi/asm-generic/errno-base.h and errno.h (Linux 6.18), sys/errno.h of FreeBSD 14 and macOS 14,
"Windows Sockets Error Codes" (Microsoft), include/uv/errno.h (libuv 1.49), std::io::ErrorKind (Rust 1.83).
"""

import re
from collections.abc import Iterator, Mapping
from errno import errorcode
from itertools import islice

from fourtuple.core.late import late_pattern
from fourtuple.core.nearest import nearest
from fourtuple.core.record import dataclass
from fourtuple.core.why.findings import System

MOST_NAMED = 20  # errors of one message
LINUX: Mapping[str, int] = {
    "EPERM": 1,
    "EAGAIN": 11,
    "ENOMEM": 12,
    "EACCES": 13,
    "ENFILE": 23,
    "EMFILE": 24,
    "ENOSPC": 28,
    "EPIPE": 32,
    "ECONNABORTED": 103,
    "ECONNRESET": 104,
    "ENOBUFS": 105,
    "EISCONN": 106,
    "ENOTCONN": 107,
    "ETOOMANYREFS": 109,
    "ETIMEDOUT": 110,
    "ECONNREFUSED": 111,
    "EHOSTDOWN": 112,
    "EHOSTUNREACH": 113,
    "EALREADY": 114,
    "EINPROGRESS": 115,
    "EADDRINUSE": 98,
    "EADDRNOTAVAIL": 99,
    "ENETDOWN": 100,
    "ENETUNREACH": 101,
    "ENETRESET": 102,
    "EAFNOSUPPORT": 97,
}
_SAME = {"EWOULDBLOCK": "EAGAIN"}
BSD: Mapping[str, int] = {
    "EAGAIN": 35,
    "EINPROGRESS": 36,
    "EALREADY": 37,
    "EAFNOSUPPORT": 47,
    "EADDRINUSE": 48,
    "EADDRNOTAVAIL": 49,
    "ENETDOWN": 50,
    "ENETUNREACH": 51,
    "ENETRESET": 52,
    "ECONNABORTED": 53,
    "ECONNRESET": 54,
    "ENOBUFS": 55,
    "EISCONN": 56,
    "ENOTCONN": 57,
    "ETOOMANYREFS": 59,
    "ETIMEDOUT": 60,
    "ECONNREFUSED": 61,
    "EHOSTDOWN": 64,
    "EHOSTUNREACH": 65,
}
WINDOWS: Mapping[str, int] = {
    "WSAEACCES": 10013,
    "WSAEMFILE": 10024,
    "WSAEWOULDBLOCK": 10035,
    "WSAEINPROGRESS": 10036,
    "WSAEADDRINUSE": 10048,
    "WSAEADDRNOTAVAIL": 10049,
    "WSAENETDOWN": 10050,
    "WSAENETUNREACH": 10051,
    "WSAECONNABORTED": 10053,
    "WSAECONNRESET": 10054,
    "WSAENOBUFS": 10055,
    "WSAETIMEDOUT": 10060,
    "WSAECONNREFUSED": 10061,
    "WSAEHOSTUNREACH": 10065,
}
LIBUV_ON_WINDOWS: Mapping[str, int] = {
    "EACCES": 4092,
    "EADDRINUSE": 4091,
    "EADDRNOTAVAIL": 4090,
    "EAGAIN": 4088,
    "ECONNABORTED": 4079,
    "ECONNREFUSED": 4078,
    "ECONNRESET": 4077,
    "EHOSTUNREACH": 4073,
    "EMFILE": 4066,
    "ENETUNREACH": 4062,
    "ENFILE": 4061,
    "ENOBUFS": 4060,
    "ENOMEM": 4057,
    "ENOSPC": 4055,
    "EPERM": 4048,
    "EPIPE": 4047,
    "ETIMEDOUT": 4039,
}
_KINDS = {  # of Rust's std::io::Error; .NET's SocketError has similar names
    "addrinuse": "EADDRINUSE",
    "addrnotavailable": "EADDRNOTAVAIL",
    "connectionrefused": "ECONNREFUSED",
    "connectionreset": "ECONNRESET",
    "connectionaborted": "ECONNABORTED",
    "timedout": "ETIMEDOUT",
    "networkunreachable": "ENETUNREACH",
    "hostunreachable": "EHOSTUNREACH",
    "brokenpipe": "EPIPE",
    "permissiondenied": "EACCES",
    "wouldblock": "EAGAIN",
    "outofmemory": "ENOMEM",
    "addressalreadyinuse": "EADDRINUSE",
    "addressnotavailable": "EADDRNOTAVAIL",
    "toomanyopensockets": "EMFILE",
    "nobufferspaceavailable": "ENOBUFS",
}
_BY_LINUX, _BY_BSD = ({number: name for name, number in table.items()} for table in (LINUX, BSD))
_BY_WINDOWS, _BY_LIBUV = ({number: name for name, number in table.items()} for table in (WINDOWS, LIBUV_ON_WINDOWS))

_NAME = late_pattern(rf"(?<![a-z0-9])(wsa)?({'|'.join([*LINUX, *_SAME]).lower()})(?![a-z0-9_])")
_KIND = late_pattern(rf"(?:kind: |errorkind::|socketerrorcode\W{{1,3}}|socketerror\.)({'|'.join(_KINDS)})\b")
_NUMBER = late_pattern(
    r"\b(?:os error|winerror|wsagetlasterror|error code|socket error|system error)\W{0,4}?(-?\d{1,5})\b(?!\.\d)"
    r"|(?<!elifecycle )\berrno\b\"?[ :=(]{1,4}(-?\d{1,5})\b(?!\.\d)"
    r"|\bos \{ code: (\d{1,5}),"
    r"|\bsocketexception \((?:0x[0-9a-f]{8}, )?(\d{1,5})\)"
    r"|(?<![a-z])connect[_ ]error:[ _](\d{1,3})\b"  # Envoy: delayed connect error: 111
    r"|\bcan't connect to (?:\w+ )?\w*server [^()]{0,200}\((\d{1,5})(?: \"[^\"]{0,80}\")?\)"  # MySQL
    r"|(?<![a-z])(?:connect|bind|listen|accept4?|socket)\b(?!\.)(?:[^.;,]|\.(?=\S)){0,60}\b(?:error|err|failed|rc)\b"
    r"[:=( ]{1,3}(-?\d{1,5})\b"
    r"(?![.\d%]| ?(?:ms|s|us|seconds|bytes|times|retries|attempts)\b)"
)
# A code of Windows Sockets stands beside a word for an error, or in brackets, in a text that is about connections.
_WINDOWS_NUMBER = late_pattern(
    r"(?:(?:wsa\w*(?:\(\))?|winsock|win32|winerror|(?:os|socket|system) error|socketexception|socketerror\w*|errno"
    r"|err(?:or)?(?:[ _]?(?:code|number|no))?|code|hresult|failed|failure)[\s\"':=#(\[-]{1,5}|[(\[])"
    rf"(?:0x[0-9a-f]{{8}}, )?({'|'.join(map(str, WINDOWS.values()))})(?![\w.]\w|\w|[,/-]\d)"
)
_OF_WINDOWS = late_pattern(
    r"wsa|winsock|winerror|\b0x27[0-9a-f]{2}\b|\b(?:windows|socket(?:exception|s|error)?|connect\w*|bind|listen\w*"
    r"|accept|sendto?|recv|tcp|udp|ports?|host|server|client|network|buffers?)\b"
)
_OF_BSD = late_pattern(r"\b(?:darwin|macos|mac os|os x|macbook|homebrew|/users/|kqueue)\b|/users/|com\.apple")


@dataclass(frozen=True, slots=True)
class Named:
    """An error that a text names.

    error:  such as `EADDRNOTAVAIL` or `WSAENOBUFS`
    at:     where in the folded text
    system: the system that its number belongs to; None: unknown
    """

    error: str
    at: int
    system: System | None = None


def no_errno(text: str) -> str:
    """Say that the text looks like an errno's name and is none of Linux, with the next one; empty: it does not."""
    name = text.strip()
    if not re.fullmatch(r"E[A-Z][A-Z0-9]{1,13}", name) or name in errorcode.values():
        return ""
    near = nearest(name, errorcode.values())
    return f"{name} is no errno of Linux{f'; the nearest name is {near}' if near else ''}"


def number_on_linux(error: str) -> int:
    """The number of the errno, also of one that Windows writes with WSA before it; 0: Linux has none."""
    name = error.removeprefix("WSA")
    return LINUX.get(_SAME.get(name, name), 0)


def named_errors(folded: str) -> list[Named]:
    """Return the errors that a folded text names, by their names; where it has no name, by their numbers."""
    found = [*islice(_names(folded), MOST_NAMED)]
    by_number = [*islice(_numbers(folded), MOST_NAMED)]
    if not found:
        return by_number
    systems = {each.error.removeprefix("WSA"): each.system for each in by_number}
    return [Named(each.error, each.at, each.system or systems.get(each.error)) for each in found]


def _names(folded: str) -> Iterator[Named]:
    for match in _NAME.finditer(folded):
        name = match[2].upper()
        if match[1]:
            yield Named(f"WSA{name}", match.start(), System.WINDOWS)
        else:
            yield Named(_SAME.get(name, name), match.start())
    for match in _KIND.finditer(folded):
        yield Named(_KINDS[match[1]], match.start())


def _numbers(folded: str) -> Iterator[Named]:
    for match in _NUMBER.finditer(folded):
        number = int(next(filter(None, match.groups())))
        if named := of_number(number, bsd=bool(_OF_BSD.search(folded)), at=match.start()):
            yield named
    if _OF_WINDOWS.search(folded):
        for match in _WINDOWS_NUMBER.finditer(folded):
            yield Named(_BY_WINDOWS[int(match[1])], match.start(), System.WINDOWS)


def of_number(number: int, *, bsd: bool = False, at: int = 0) -> Named | None:
    """The error that has this number, or whose negative it is; None: it is not the number of an error.

    bsd: the text is of macOS or FreeBSD, where some numbers differ
    """
    size = abs(number)
    if size in _BY_WINDOWS:
        return Named(_BY_WINDOWS[size], at, System.WINDOWS)
    if number < 0 and size in _BY_LIBUV:
        return Named(_BY_LIBUV[size], at, System.WINDOWS)
    if bsd and size in _BY_BSD:
        return Named(_BY_BSD[size], at, System.MACOS)
    return Named(_BY_LINUX[size], at) if size in _BY_LINUX else None


def numbered_on_bsd(folded: str, error: str) -> bool:
    """Whether the text gives, beside this error in words, the number that it has on macOS and FreeBSD."""
    return any(
        abs(int(next(filter(None, match.groups())))) == BSD.get(error)
        for match in islice(_NUMBER.finditer(folded), MOST_NAMED)
    ) and not any(each.error == error for each in _numbers(folded))
