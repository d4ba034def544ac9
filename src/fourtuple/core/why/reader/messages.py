"""What C libraries and other systems print for the errnos of connections, as phrases: strerror() in many languages.

languages.json is made by `make languages` from the message catalogues of glibc, as Debian packages them (libc-l10n).
Sources of the others: src/errno/__strerror.h (musl 1.2.5), lib/libc/gen/errlst.c (FreeBSD 14; macOS has the same),
FormatMessage of Windows 11 for the codes of Windows Sockets, src/win/error.c (libuv 1.49).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pkgutil import get_data

import msgspec

from fourtuple.core.why.findings import Phrase, System
from fourtuple.core.why.reader.fold import fold

ENGLISH: Mapping[str, tuple[str, ...]] = {  # glibc first, then musl, then what programs make of it
    "EADDRNOTAVAIL": ("cannot assign requested address", "address not available", "no free ports"),
    "EADDRINUSE": (
        "address already in use",
        "address in use",
        "port is already allocated",
        "port already in use",
    ),
    "EMFILE": ("too many open files", "no file descriptors available", "out of file descriptors"),
    "ENFILE": ("too many open files in system", "file table overflow"),
    "ENOSPC": ("no space left on device",),
    "EAGAIN": ("resource temporarily unavailable",),
    "ENOMEM": ("cannot allocate memory",),
    "ENOBUFS": ("no buffer space available", "no buffer space"),
    "ETIMEDOUT": (
        "connection timed out",
        "operation timed out",
        "connect timed out",
        "connection attempt timed out",
        "connect timeout",
        "connection timeout",
        "connecttimeoutexception",
        "connecttimeouterror",
        "i/o timeout",
        "timed out connecting",
        "timed out while connecting",
        "timeout was reached",
        "timeout while connecting",
    ),
    "ECONNREFUSED": ("connection refused", "actively refused"),
    "ECONNRESET": ("connection reset by peer", "connection was reset", "connection reset"),
    "ECONNABORTED": ("software caused connection abort", "connection aborted"),
    "EPIPE": ("broken pipe",),
    "EHOSTUNREACH": ("no route to host", "host is unreachable"),
    "ENETUNREACH": ("network is unreachable", "network unreachable"),
    "EACCES": ("permission denied",),
    "EPERM": ("operation not permitted",),
    "EINPROGRESS": ("operation now in progress", "operation in progress"),
    "ETOOMANYREFS": ("too many references: cannot splice", "too many references"),
    "EAFNOSUPPORT": ("address family not supported",),
}
_BSD = {"EADDRNOTAVAIL": ("can't assign requested address",)}
_WINDOWS = {
    "WSAEACCES": (
        "an attempt was made to access a socket in a way forbidden by its access permissions",
        "forbidden by its access permissions",
    ),
    "WSAEADDRINUSE": ("only one usage of each socket address",),
    "WSAEADDRNOTAVAIL": ("the requested address is not valid in its context",),
    "WSAENOBUFS": (
        "system lacked sufficient buffer space or because a queue was full",
        "lacked sufficient buffer space",
    ),
    "WSAEMFILE": ("too many open sockets",),
    "WSAETIMEDOUT": ("connected party did not properly respond after a period of time",),
    "WSAECONNREFUSED": ("because the target machine actively refused it", "target computer actively refused it"),
    "WSAECONNRESET": ("existing connection was forcibly closed by the remote host",),
    "WSAENETUNREACH": ("a socket operation was attempted to an unreachable network",),
    "WSAEHOSTUNREACH": ("a socket operation was attempted to an unreachable host",),
}


def phrases_of(messages: Mapping[str, str]) -> Iterator[Phrase]:
    """Yield phrases for the messages of a C library in one language: by the errno's name, what strerror() prints."""
    for error, message in messages.items():
        if len((text := fold(message)).encode()) >= 4 and not {"*", "#"} & set(text):
            yield Phrase(text, error)


@cache
def messages() -> tuple[Phrase, ...]:
    """Return what glibc, musl, FreeBSD, macOS and Windows print, in all languages that are known here."""
    data = get_data("fourtuple.core.why.reader", "languages.json") or b""
    found = [Phrase(text, error) for error, texts in ENGLISH.items() for text in texts]
    found += [Phrase(text, error, system=System.MACOS) for error, texts in _BSD.items() for text in texts]
    found += [Phrase(text, error, system=System.WINDOWS) for error, texts in _WINDOWS.items() for text in texts]
    for catalogue in msgspec.json.decode(data, type=Languages).languages.values():
        found += phrases_of(catalogue)
    return tuple({(phrase.text, phrase.error): phrase for phrase in found}.values())


class Languages(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What glibc prints: by language, the errno's name and its message.

    source: the package and its version
    """

    source: str
    languages: dict[str, dict[str, str]]
