"""Why connections stop: the causes that a text leads to, weighed by the evidence for and against each on this host."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fourtuple.core.errnos import UNKNOWN, name_of, symptom_of
from fourtuple.core.space.endpoints import Resolved
from fourtuple.core.units import format_count
from fourtuple.core.why.causes import CAUSES, IN_TURN_CURE, Scene, near
from fourtuple.core.why.saying import Saying
from fourtuple.core.why.symptoms import ERRNOS, PLATEAUS, Plateau


@dataclass(frozen=True, slots=True)
class Explanation:
    """One cause, weighed.

    cause:          its key in CAUSES
    says:           the cause in one line
    score:          the sum of the weights; a cause below 0 is unlikely
    speaks_for:     the evidence on this host that supports it
    speaks_against: the evidence on this host that contradicts it
    besides:        notes that do neither
    do:             remedies, the best first
    """

    cause: str
    says: str
    score: int
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    besides: tuple[str, ...]
    do: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """The answer to one question.

    saying:       the question, as it was read
    means:        the usual meanings of its number or errno
    explanations: the causes, the likeliest first; none if no known cause matches
    unknown:      facts that could not be read, and why
    resolved:     the name of the destination, if it has several addresses
    """

    saying: Saying
    means: tuple[str, ...]
    explanations: tuple[Explanation, ...]
    unknown: Mapping[str, str]
    resolved: tuple[Resolved, ...] = ()

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        record["saying"]["errno"] = name_of(self.saying.errno) if self.saying.errno else ""
        return record


def judge(saying: Saying, scene: Scene, ceilings: Mapping[str, int], unknown: Mapping[str, str]) -> Why:
    """Weigh the causes that the saying leads to, and sort them by score.

    ceilings: limits of this host by name; the nearest ones are named if no cause matches the number
    unknown:  facts that could not be read, and why
    """
    plateaus = _plateaus(saying.number)
    names = list(saying.causes)
    if saying.errno:
        names += ERRNOS.get((saying.call, saying.errno)) or ERRNOS.get(("", saying.errno), ())
    names += [cause for plateau in plateaus for cause in plateau.causes]
    if saying.number is not None:
        names += _here(scene)
    weighed = []
    for rank, name in enumerate(dict.fromkeys(names)):
        cause = CAUSES[name]
        evidence = list(cause.evidence(scene))
        explanation = Explanation(
            cause=name,
            says=cause.says,
            score=sum(each.weight for each in evidence) + _from_words(saying, name),
            speaks_for=tuple(each.text for each in evidence if each.weight > 0),
            speaks_against=tuple(each.text for each in evidence if each.weight < 0),
            besides=tuple(each.text for each in evidence if each.weight == 0),
            do=tuple(each for each in cause.do if each != IN_TURN_CURE or scene.can_search_in_turn),
        )
        weighed.append((-explanation.score, rank, explanation))
    means = [plateau.says for plateau in plateaus]
    if saying.number is not None and not weighed:
        means += _nearest(saying.number, ceilings)
    if saying.errno and (symptom := symptom_of(saying.errno)) is not UNKNOWN:
        means.insert(0, symptom.limit)
    return Why(saying, tuple(means), tuple(explanation for _, _, explanation in sorted(weighed)), unknown)


def _from_words(saying: Saying, cause: str) -> int:
    """The weight of a cause that the words themselves suggest: more than one or two observations, the first most."""
    return max(2, 5 - 2 * list(saying.causes).index(cause)) if cause in saying.causes else 0


def _nearest(number: int, ceilings: Mapping[str, int]) -> list[str]:
    """Name the limits of this host next below and next above the number."""
    below = max(((limit, name) for name, limit in ceilings.items() if limit < number), default=None)
    above = min(((limit, name) for name, limit in ceilings.items() if limit >= number), default=None)
    words = [f"{name}, {format_count(limit)}" for limit, name in filter(None, (below, above))]
    return [f"no limit of this host is at this number; the nearest are {' and '.join(words)}"] if words else []


def _plateaus(number: int | None) -> list[Plateau]:
    return [] if number is None else [plateau for plateau in PLATEAUS if plateau.first <= number <= plateau.last]


def _here(scene: Scene) -> list[str]:
    """The causes that stop connections at about this number on this host."""
    return [name for name, cause in CAUSES.items() if any(near(scene.number, limit) for limit in cause.stops_at(scene))]
