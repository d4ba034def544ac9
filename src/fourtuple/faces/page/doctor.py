"""The diagnosis of a host as one self-contained HTML page, which loads nothing from the network."""

from collections.abc import Iterator
from datetime import datetime, timezone

from fourtuple.core.doctor.records import Diagnosis, Trouble
from fourtuple.core.units import format_count
from fourtuple.faces.page.parts import Section, Table
from fourtuple.faces.page.report import rendered
from fourtuple.faces.text.doctor import MARKS, answer_of


def doctor_page(diagnosis: Diagnosis) -> str:
    """Each finding of now is a section; counters that were read once, and what was not seen, are tables."""
    now = [trouble for trouble in diagnosis.findings if trouble.rank.is_now]
    so_far = [trouble for trouble in diagnosis.findings if not trouble.rank.is_now]
    sections = [_section(number, trouble) for number, trouble in enumerate(now, 1)]
    if so_far:
        rows = [(trouble.says, str(trouble.subject)) for trouble in so_far]
        hint = "These counters were read once: whether they still move, `fourtuple doctor --for 10s` shows."
        sections.append(Section("so-far", "So far", hint=hint, tables=[Table(("what", "whose"), rows)]))
    if diagnosis.unseen:
        sections.append(Section("unseen", "Not known", diagnosis.unseen))
    at = datetime.fromtimestamp(diagnosis.at_s, timezone.utc)
    return rendered(
        "run.html.j2",
        title=f"What limits connections on {diagnosis.host or 'a host'}",
        when=f"{at:%Y-%m-%d %H:%M:%S} UTC, from {diagnosis.source}",
        good=not now,
        verdict=answer_of(diagnosis, now).rstrip(":."),
        tiles=list(_tiles(diagnosis, len(now))),
        sections=[Section("first", "What to do first", [diagnosis.first]), *sections],
        samples={},
        drawn=[],
    )


def _tiles(diagnosis: Diagnosis, count: int) -> Iterator[tuple[str, str, str]]:
    yield "limits now", format_count(count), ""
    for name, number in diagnosis.looked.items():
        yield name, format_count(number), "looked at"


def _section(number: int, trouble: Trouble) -> Section:
    facts = [("whose", str(trouble.subject)), *(("evidence", each) for each in trouble.evidence)]
    facts += [("cause", trouble.cause), ("source", trouble.source)]
    cures = [(cure.do, cure.costs or "nothing", str(cure.needs) or "nothing") for cure in trouble.cures]
    return Section(
        f"finding-{number}",
        f"{MARKS[trouble.rank]} {trouble.says}",
        tables=[Table(("", ""), facts), Table(("do", "costs", "needs"), cures)],
    )
