"""Why connections stop: the causes that a text leads to, weighed by what this host says for and against each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fourtuple.core.errnos import UNKNOWN, name_of, symptom_of
from fourtuple.core.units import format_count
from fourtuple.core.why.causes import CAUSES, Scene, near
from fourtuple.core.why.reader import Saying
from fourtuple.core.why.symptoms import ERRNOS, PLATEAUS, Plateau


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
    return [name for name, cause in CAUSES.items() if any(near(scene.number, limit) for limit in cause.stops_at(scene))]
