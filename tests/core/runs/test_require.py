"""--require: which names there are, which values they take, and when they are met."""

import re
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.require import parse_requirements, units_of
from tests.made import hold_record, serve_record


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("held=all", True),
        ("held>=99%, lost<=1%", True),
        ("lost<=0.29%", False),
        ("lost<=0.3%", True),
        ("lost=none", False),
        ("wanted=1,000", True),  # the comma of a number separates nothing
        ("wanted == 1k", True),
        ("accepted=all", True),
        ("p99<50ms", True),
        ("p99<1us", False),
        ("connect_us.max<29.9us", False),
        ("connect_us.max<=29.9us", True),
        ("rate>=199/s", True),
        ("rate>=10k/s", False),
        ("elapsed_s<=5s", True),
        ("elapsed<=4999ms", False),
        ("rss_bytes<=30MiB", True),
        ("rss<30MiB", False),
        ("loop=ring", True),
        ("loop!=ring", False),
        ("agree=true", True),
        ("interrupted=false", True),
        ("failed=0", True),
        ("lost_by.ECONNRESET<=3", True),
        ("lost_by.FIN=0", True),
        ("moved.TCPSynRetrans<3", False),
        ("census.server=all", True),
        ("losses<=1", True),
        ("sharing.ports>=500", True),
        ("memory.connections=1k", True),
        ("memory.model_bytes<8KiB", True),
    ],
)
def test_a_value_of_the_record_is_compared_in_its_unit(text: str, met: bool) -> None:
    record = hold_record(lost=3, lost_by={"ECONNRESET": 3})
    judged = [each.judged(record, record.wanted) for each in parse_requirements([text], HoldRecord)]

    assert all(each.met for each in judged) is met


def test_what_is_not_known_meets_nothing() -> None:
    """Neither a bound nor its opposite."""
    record = hold_record(listen_overflows=None, census_at_end=None, memory=None)
    texts = ["listen_overflows<1, listen_overflows>=1", "memory.connections>0", "census_at_end.client>=0"]
    judged = [each.judged(record, record.wanted) for each in parse_requirements(texts, HoldRecord)]

    assert [each.got for each in judged] == [None] * 4
    assert not any(each.met for each in judged)


@pytest.mark.parametrize("kind", [HoldRecord, ServeRecord])
def test_every_value_of_the_record_can_be_named(kind: type) -> None:
    """Each field is a name, or the beginning of names; the outcome itself is not one."""
    names = {name.split(".")[0] for name in units_of(kind)}

    assert names == {field.name for field in fields(kind)} - {"outcome"}


@pytest.mark.parametrize("record", [hold_record(), serve_record()])
def test_every_name_has_a_value_that_can_be_read(record: HoldRecord | ServeRecord) -> None:
    for name, unit in units_of(type(record)).items():
        value = {"rate": "1/s", "s": "1s", "us": "1us", "bytes": "1B", "flag": "true", "text": "x"}.get(unit.value, "1")
        (made,) = parse_requirements([f"{name}!={value}"], type(record))

        assert made.judged(record, 1000).got is None or made.judged(record, 1000).met in (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "", "lost", "lost<=", "<=1%", "lost=<1", "lost<=1%,", "lost<=many", "lost<=-1", "lost<=1.5", "lost<=1e3",
        "p99<50", "rate>=fast", "rate>=0", "loss<=1%", "failed.ECONNREFUSD=0", "moved.Nonsense=0", "agree=yes",
        "census=1", "outcome=1", "held<=%", "held<=1.2.3%", "lost<=1% p99<50ms", "rss<30MB", "__class__=1", "to_json=1",
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_requirements([text], HoldRecord)


def test_a_wrong_name_gets_the_right_ones_that_are_like_it() -> None:
    with pytest.raises(UsageError) as caught:
        parse_requirements(["loss<=1%"], ServeRecord)

    assert re.search(r"\blost\b", caught.value.do)
    assert "most_open" not in caught.value.do


@given(st.text(max_size=40))
def test_no_text_is_more_than_a_usage_error(text: str) -> None:
    try:
        parse_requirements([text], HoldRecord)
    except UsageError:
        return
