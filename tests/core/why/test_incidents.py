"""What `why` says of public incidents, and of texts of the same kinds in other words: tables in TOML in data/."""

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fourtuple.core.why.catalogue.rows import catalogue, phrases
from fourtuple.core.why.causes import CAUSES
from fourtuple.core.why.judge import Why, judge
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.core.why.scene import Bearing, Scene
from tests.core.quiet import WORLD
from tests.toml import tomllib


class Incident(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As incidents.toml describes it."""

    text: str
    first: tuple[str, ...]
    never: tuple[str, ...] = ()
    cure: str = ""


def table(name: str) -> tuple[Incident, ...]:
    rows = tomllib.loads((Path(__file__).parent / "data" / name).read_text())["incident"]
    return msgspec.convert(rows, tuple[Incident, ...])


INCIDENTS, VARIANTS = table("incidents.toml"), table("variants.toml")


def answer(text: str) -> Why:
    """What `why` says of it on a host that tells nothing."""
    findings = read_findings([text], (*PHRASES, *phrases()))
    world = replace(WORLD, ports=None)
    return judge([Scene(world, each, Bearing.PERHAPS) for each in findings], {}, {}, rows=catalogue())


@pytest.mark.parametrize("incident", [*INCIDENTS, *VARIANTS], ids=lambda each: " ".join(each.text.split())[:60])
def test_an_incident_is_understood(incident: Incident) -> None:
    """One of its causes comes first, none that is wrong does, and the remedy is there."""
    why = answer(incident.text)
    best = [each.explanations[0] for each in why.findings if each.explanations]
    firsts = {each.cause for each in best}

    if incident.first:
        assert firsts & set(incident.first)
    else:
        assert why.findings == ()
    assert not firsts & set(incident.never)
    assert any(re.search(incident.cure, str(cure)) for each in best for cure in each.cures) or not best


def test_the_table_names_what_there_is() -> None:
    named = {name for each in (*INCIDENTS, *VARIANTS) for name in (*each.first, *each.never)}

    assert named - set(CAUSES) - set(catalogue()) == set()
    assert len({each.text for each in INCIDENTS}) == len(INCIDENTS) >= 52
