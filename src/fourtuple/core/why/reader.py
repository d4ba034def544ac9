"""What somebody saw → causes, the likeliest first, each with what this host says for and against it.

`read_saying` finds in a text what is known there: a number where connections stop, an errno, the call that gave it, a
destination, a line that a kernel writes. `judge` weighs the causes that these lead to.
"""

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.units import format_count, parse_count
from fourtuple.core.why.causes import CAUSES, Scene, limits_here, near
from fourtuple.core.why.symptoms import ERRNOS, MESSAGES, PLATEAUS, UNKNOWN, Plateau, name_of, symptom_of

MOST_DIGITS = 20
MOST_CHARACTERS = 100_000  # of a pasted text that are looked at
_ENDPOINT = re.compile(r"(?<![\w.:\[])(\[[0-9a-fA-F:]+\]|\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?!\d)")
_BARE = re.compile(r"\d{1,18}|\d{1,3}(?:[,_' ]\d{3}){1,5}")
_ERRNO = re.compile(r"\b(?:errno|error|failed)\W{0,3}(\d{1,3})\b|\((\d{1,3}): |\((\d{1,3})\)\s*$", re.IGNORECASE)
_NAME = re.compile(r"(?<![a-z])(?:wsa)?(e[a-z0-9]{3,})\b", re.IGNORECASE)  # Windows' names begin with WSA
_CALL = re.compile(r"\b(connect|bind|listen|accept|socket|setrlimit|dial)\b", re.IGNORECASE)
_COUNT = re.compile(
    r"(?<![\w.:/,-])(?:\d{1,3}(?:[,_' ]\d{3}){1,5}|\d{3,9})(?![\w-]|[.:,]\d| ?(?:ms|s|us|seconds|bytes|KiB|MiB)\b)"
)
_HOST_PORT = re.compile(r"host='([\d.]+|[0-9a-fA-F:]+)', port=(\d{1,5})")  # as urllib3 writes it
_LISTEN = re.compile(r"listen \w+ \S*:(\d{1,5})\b|port (\d{1,5})\b", re.IGNORECASE)
_EXPLAINED = {number for _, number in ERRNOS}
_ERRNOS_BY_NAME: Mapping[str, int] = {
    name: getattr(errno, name) for name in dir(errno) if name.startswith("E")
}  # EWOULDBLOCK too


@dataclass(frozen=True, slots=True)
class Saying:
    """What is known of what somebody saw.

    number: where connections stop; errno: 0 where there is none; call: lower case, without brackets
    port:   a local one that the text names
    causes: that the words lead to, besides
    """

    text: str
    number: int | None = None
    errno: int = 0
    call: str = ""
    target: str | None = None
    port: int | None = None
    causes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """One cause. speaks_for, speaks_against: what this host says; besides: what it says without taking sides"""

    cause: str
    says: str
    score: int
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    besides: tuple[str, ...]
    do: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """means: what the number or errno usually is; explanations: the likeliest first, none where nothing is known"""

    saying: Saying
    means: tuple[str, ...]
    explanations: tuple[Explanation, ...]
    unknown: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        said = asdict(self)
        said["saying"]["errno"] = name_of(self.saying.errno) if self.saying.errno else ""
        return said


def read_saying(text: str) -> Saying:
    """`28232`, `99`, `EADDRINUSE`, a line of a log, a traceback. Raises UsageError for an empty one."""
    text = text.strip()[:MOST_CHARACTERS]
    if not text:
        raise UsageError("why", "there is nothing to explain", "Give a number, an errno, or a line of a log.")
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
    """`28232`, `28,232`, `28k`; None: it is something else."""
    if _BARE.fullmatch(text):
        return int(re.sub(r"\D", "", text))
    try:
        return parse_count(text) if len(text) < MOST_DIGITS else None
    except UsageError:
        return None


def judge(saying: Saying, scene: Scene, ceilings: Mapping[str, int], unknown: Mapping[str, str]) -> Why:
    """The causes that the saying leads to, weighed; those that more speaks against than for come last.

    ceilings: limits of this host, to name the nearest ones where none is known to stop there
    """
    plateaus = _plateaus(saying.number)
    names = list(saying.causes)
    if saying.errno:
        names += ERRNOS.get((saying.call, saying.errno)) or ERRNOS.get(("", saying.errno), ())
    names += [cause for plateau in plateaus for cause in plateau.causes]
    if saying.number is not None:
        names += _here(scene)
    found = []
    for rank, name in enumerate(dict.fromkeys(names)):
        cause = CAUSES[name]
        evidence = list(cause.evidence(scene))
        explanation = Explanation(
            cause=name,
            says=cause.says,
            score=sum(each.weight for each in evidence) + _said(saying, name),
            speaks_for=tuple(each.text for each in evidence if each.weight > 0),
            speaks_against=tuple(each.text for each in evidence if each.weight < 0),
            besides=tuple(each.text for each in evidence if each.weight == 0),
            do=tuple(cause.do),
        )
        found.append((-explanation.score, rank, explanation))
    means = [plateau.says for plateau in plateaus]
    if saying.number is not None and not found:
        means += _nearest(saying.number, ceilings)
    if saying.errno and (symptom := symptom_of(saying.errno)) is not UNKNOWN:
        means.insert(0, symptom.limit)
    return Why(saying, tuple(means), tuple(each for _, _, each in sorted(found)), unknown)


def _said(saying: Saying, cause: str) -> int:
    """What the words lead to outweighs a piece of evidence or two, the first of it most."""
    return max(2, 5 - 2 * list(saying.causes).index(cause)) if cause in saying.causes else 0


def _nearest(number: int, ceilings: Mapping[str, int]) -> list[str]:
    """What lies next to it, below and above."""
    below = max(((limit, name) for name, limit in ceilings.items() if limit < number), default=None)
    above = min(((limit, name) for name, limit in ceilings.items() if limit >= number), default=None)
    words = [f"{name}, {format_count(limit)}" for limit, name in filter(None, (below, above))]
    return [f"no limit of this host is at that number; next to it are {' and '.join(words)}"] if words else []


def _plateaus(number: int | None) -> list[Plateau]:
    return [] if number is None else [plateau for plateau in PLATEAUS if plateau.first <= number <= plateau.last]


def _here(scene: Scene) -> list[str]:
    """Causes whose limit is about that number on this host, whatever it is elsewhere."""
    return [name for name, limits in limits_here(scene).items() if any(near(scene.number, limit) for limit in limits)]


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
    if "bind" in calls:  # Go says `dial tcp …: bind: …` where bind() failed
        return "bind"
    calls.sort(key="socket".__eq__)  # that is a module or a type more often than the call
    return next(("connect" if call == "dial" else call for call in calls), "")


def _target(text: str) -> str | None:
    """The first endpoint behind an arrow (`dial tcp 10.0.0.4:0->10.0.0.9:80`), behind `upstream:`, or of all."""
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
    """The number in a sentence such as `it stops at 28,232 connections`; the largest, if there are several."""
    numbers = [int(re.sub(r"\D", "", match[0])) for match in _COUNT.finditer(text)]
    return max(numbers, default=None)
