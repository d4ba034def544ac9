"""Read a text that describes a failure: a number of connections, an errno, a line of a log, a traceback.

`read_saying` extracts what it recognises: the number at which connections stop, an errno, the call that failed, a
destination, a line that a kernel logs. `judge` (core/why/judge.py) weighs the causes that these lead to.
"""

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.units import parse_count
from fourtuple.core.why.symptoms import ERRNOS, MESSAGES

MOST_DIGITS = 20
MOST_CHARACTERS = 100_000  # of a pasted text; the rest is ignored
MOST_BYTES = 4 * MOST_CHARACTERS  # of the same in UTF-8
_ENDPOINT = re.compile(r"(?<![\w.:\[])(\[[0-9a-fA-F:]+\]|\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?!\d)")
_BARE = re.compile(r"\d{1,18}|\d{1,3}(?:[,_' ]\d{3}){1,5}")
_ERRNO = re.compile(r"\b(?:errno|error|failed)\W{0,3}(\d{1,3})\b|\((\d{1,3}): |\((\d{1,3})\)\s*$", re.IGNORECASE)
_NAME = re.compile(r"(?<![a-z])(?:wsa)?(e[a-z0-9]{3,})\b", re.IGNORECASE)  # Windows' names begin with WSA
_CALL = re.compile(r"\b(connect|bind|listen|accept|socket|setrlimit|dial)\b", re.IGNORECASE)
_COUNT = re.compile(
    r"(?<![\w.:/,-])(?:\d{1,3}(?:[,_' ]\d{3}){1,5}|\d{3,9})(?![\w-]|[.:,]\d| ?(?:ms|s|us|seconds|bytes|KiB|MiB)\b)"
)
_HOST_PORT = re.compile(r"host='([\d.]+|[0-9a-fA-F:]+)', port=(\d{1,5})")  # the format of urllib3
_LISTEN = re.compile(r"listen \w+ \S*:(\d{1,5})\b|port (\d{1,5})\b", re.IGNORECASE)
_EXPLAINED = {number for _, number in ERRNOS}
_ERRNOS_BY_NAME: Mapping[str, int] = {
    name: getattr(errno, name) for name in dir(errno) if name.startswith("E")
}  # EWOULDBLOCK too


@dataclass(frozen=True, slots=True)
class Saying:
    """What a text says about a failure.

    text:   the text itself
    number: the number of connections at which they stop; None: it gives none
    errno:  the error number; 0: it gives none
    call:   the system call that failed, lower case, without brackets; empty: it names none
    target: the destination, as ADDRESS:PORT; None: it names none
    port:   the local port that it names; None: it names none
    causes: keys of CAUSES that its words suggest, in addition to those of the number and the errno
    """

    text: str
    number: int | None = None
    errno: int = 0
    call: str = ""
    target: str | None = None
    port: int | None = None
    causes: Sequence[str] = ()


def read_saying(text: str) -> Saying:
    """Read `28232`, `99`, `EADDRINUSE`, a line of a log or a traceback. Raises UsageError for an empty text."""
    text = text.strip()[:MOST_CHARACTERS]
    if not text:
        raise UsageError("why", "the text is empty", "Give a number, an errno, or a line of a log.")
    if (number := _bare_number(text)) is not None:
        return Saying(text, errno=number) if number in _EXPLAINED else Saying(text, number=number)
    if text.upper() in _ERRNOS_BY_NAME:
        return Saying(text, errno=_ERRNOS_BY_NAME[text.upper()])
    found = [message for message in MESSAGES if re.search(message.pattern, text, re.IGNORECASE)]
    number = next((message.number for message in found if message.number), 0) or _named_errno(text)
    call = next((message.call for message in found if message.call), "") or _called(text)
    target = _target(text)
    causes = tuple(dict.fromkeys(cause for message in found for cause in message.causes))
    return Saying(
        text=text,
        number=_count(text) if not (found or number) else None,
        errno=number,
        call=call,
        target=target,
        port=_port(text, target) if call in ("bind", "listen") else None,
        causes=causes,
    )


def _bare_number(text: str) -> int | None:
    """Read `28232`, `28,232` or `28k`; None: the text is not just a number."""
    if _BARE.fullmatch(text):
        return int(re.sub(r"\D", "", text))
    try:
        return parse_count(text) if len(text) < MOST_DIGITS else None
    except UsageError:
        return None


def _named_errno(text: str) -> int:
    for match in _NAME.finditer(text):
        if match[1].upper() in _ERRNOS_BY_NAME:
            return _ERRNOS_BY_NAME[match[1].upper()]
    for match in _ERRNO.finditer(text):
        number = int(match[1] or match[2] or match[3])
        if number in errno.errorcode:
            return number
    return 0


def _called(text: str) -> str:
    calls = [match[1].lower() for match in _CALL.finditer(text)]
    if "bind" in calls:  # Go writes `dial tcp …: bind: …` if bind() failed
        return "bind"
    calls.sort(key="socket".__eq__)  # the word is a module or a type more often than the call
    return next(("connect" if call == "dial" else call for call in calls), "")


def _target(text: str) -> str | None:
    """The first endpoint after an arrow (`dial tcp 10.0.0.4:0->10.0.0.9:80`), after `upstream:`, or in the text."""
    upstream = re.search(r'upstream: "\w+://', text)
    arrow = text.find("->")
    if pair := _HOST_PORT.search(text):
        text = f"[{pair[1]}]:{pair[2]}" if ":" in pair[1] else f"{pair[1]}:{pair[2]}"
        arrow = -1
    for match in _ENDPOINT.finditer(text, upstream.end() - 1 if upstream else arrow + 2 if arrow >= 0 else 0):
        try:
            endpoint = Endpoint.parse(f"{match[1]}:{match[2]}")
        except UsageError:
            continue
        if endpoint.port:
            return str(endpoint)
    return None


def _port(text: str, target: str | None) -> int | None:
    if arrow := re.search(r":(\d{1,5})->", text):
        return int(arrow[1]) or None
    if target:
        return Endpoint.parse(target).port
    match = _LISTEN.search(text) or re.search(r"', (\d{1,5})\)", text) or re.search(r"(?<!\d):(\d{1,5})\b(?!:)", text)
    number = int(next(filter(None, match.groups()))) if match else 0
    return number if 0 < number < 65536 else None


def _count(text: str) -> int | None:
    """The number in a sentence such as `it stops at 28,232 connections`; the largest if there are several."""
    numbers = [int(re.sub(r"\D", "", match[0])) for match in _COUNT.finditer(text)]
    return max(numbers, default=None)
