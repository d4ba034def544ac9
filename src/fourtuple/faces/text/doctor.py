"""The diagnosis of a host as text: what limits now, with evidence, cause and remedies; last, what to do first."""

from collections.abc import Iterator, Sequence, Set
from datetime import datetime, timezone

from fourtuple.core.doctor.records import Diagnosis, Rank, Trouble
from fourtuple.core.limits.cures import Cure
from fourtuple.core.units import format_count, format_duration
from fourtuple.faces.text.lines import wrapped

MARKS = {Rank.FAILS: "✗", Rank.NEAR: "!", Rank.GROWS: "↗", Rank.LOGGED: "?"}
MOST = 10  # findings in full, without --all
MOST_SO_FAR = 5
HERE = "this host"  # Snapshot.source of a sweep


def doctor_lines(diagnosis: Diagnosis, *, everything: bool = False) -> Iterator[str]:
    """everything: all findings in full; otherwise the worst ones, and how many more there are"""
    now = [trouble for trouble in diagnosis.findings if trouble.rank.is_now]
    so_far = [trouble for trouble in diagnosis.findings if not trouble.rank.is_now]
    yield from wrapped("", answer_of(diagnosis, now))
    shown = now if everything else now[:MOST]
    told = set[Cure]()
    for trouble in shown:
        yield ""
        yield from _trouble(trouble, told if trouble.follows_from else set())
        told.update(trouble.cures)
    if len(now) > len(shown):
        yield ""
        yield f"… and {format_count(len(now) - len(shown))} more (--all)"
    yield from _so_far(so_far if everything else so_far[:MOST_SO_FAR], len(so_far))
    if diagnosis.unseen:
        yield ""
        yield "not known:"
        for sentence in diagnosis.unseen:
            yield from wrapped("  ", sentence)
    yield ""
    yield from wrapped("", diagnosis.first)


def answer_of(diagnosis: Diagnosis, now: Sequence[Trouble]) -> str:
    """The first line: how much limits now, and what was looked at. now: the findings that count"""
    looked = diagnosis.looked
    parts = [f"{format_count(looked[name])} {_plural(name, looked[name])}" for name in looked if looked[name]]
    where = f"in {' and '.join(filter(None, (', '.join(parts[:-1]), *parts[-1:])))}" if parts else ""
    watched = f", watched for {format_duration(diagnosis.for_s)}" if diagnosis.for_s is not None else ""
    elsewhere = ""
    if diagnosis.source != HERE:
        moment = datetime.fromtimestamp(diagnosis.at_s, timezone.utc) if diagnosis.at_s else None
        at = moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "at an unknown time"
        elsewhere = f" ({diagnosis.host or 'another host'}, {at}, from {diagnosis.source})"
    logged = sum(trouble.rank is Rank.LOGGED for trouble in now)
    count = len(now) - logged
    nothing = "Nothing that is known limits" if diagnosis.unseen else "Nothing limits"
    things = nothing if not count else "1 thing limits" if count == 1 else f"{format_count(count)} things limit"
    reported = ""
    if logged:
        failures = "1 failure" if logged == 1 else f"{format_count(logged)} failures"
        reported = f"{', but' if not count else ' and'} the kernel's log reports {failures}"
    end = ":" if now else "."
    return f"{things} connections now{reported} {where}{watched}{elsewhere}{end}".replace("  ", " ").replace(" .", ".")


def _plural(name: str, count: int) -> str:
    if count != 1:
        return name
    return name.removesuffix("es") if name == "processes" else name.removesuffix("s")


def _trouble(trouble: Trouble, told: Set[Cure]) -> Iterator[str]:
    """told: remedies of its cause, which were printed above"""
    yield from wrapped(f"{MARKS[trouble.rank]} ", trouble.says)
    yield from wrapped("    whose     ", str(trouble.subject))
    for evidence in trouble.evidence:
        yield from wrapped("    evidence  ", evidence)
    yield from wrapped("    cause     ", trouble.cause)
    if not told.isdisjoint(trouble.cures):
        yield from wrapped("    do        ", "what helps against that finding")
    for cure in trouble.cures:
        if cure not in told:
            yield from wrapped("    do        ", str(cure))


def _so_far(shown: Sequence[Trouble], count: int) -> Iterator[str]:
    """Counters that were read once: they may have moved long ago."""
    if not count:
        return
    yield ""
    yield from wrapped("", "so far, perhaps long ago:")
    for trouble in shown:
        yield from wrapped("  · ", f"{trouble.says} ({trouble.subject})")
    if count > len(shown):
        yield f"  … and {format_count(count - len(shown))} more (--all)"
