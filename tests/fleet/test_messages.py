"""Messages between a coordinator and its machines: all arrive as they were sent, and other bytes are refused."""

from dataclasses import fields, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import CannotError, FourtupleError, ShortfallError, UsageError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.orders import HoldOptions, ServeOptions, ServeOrder, Watch, from_text, to_text
from fourtuple.core.runs.records import AcceptQueue, Sample, Seen, Witness
from fourtuple.core.runs.start import FleetPart
from fourtuple.core.talk.session import Scheme
from fourtuple.core.talk.stages import parse_stages
from fourtuple.fleet import messages
from fourtuple.fleet.messages import (
    OPTIONS,
    AskCount,
    AskOffer,
    AskParts,
    Begin,
    CountMade,
    Finished,
    Gone,
    HoldOver,
    Interrupt,
    Joined,
    Moment,
    OfferMade,
    PartsMade,
    Prepare,
    Prepared,
    Refused,
    StoredPart,
    for_machine,
    from_machine,
    order_from,
    order_text,
    packed,
    sample_bytes,
    sample_from,
)
from tests import made, made_churn
from tests.core.fleet.made import machine
from tests.core.runs.test_together import assert_same, rows_of

PART = FleetPart("f1e2", 3, "m3", "m1")
MEMBER, OFFER = machine("m1", sources=("10.0.0.1-10.0.0.9", "fd00::1"), owns=("10.0.9.9",), ways=("sysctl …",))
TO = [
    AskOffer(("10.0.0.9:80-89", "[fd00::9]:1"), ("10.0.0.1-9",), "explicit", True, 10**9, "epoll", 4),
    AskOffer(("10.0.0.9:80",), (), None, False, 1, "auto", None),
    AskCount(1, ("10.0.0.9:80",)),
    AskParts("f1e2"),
    Prepare("hold", to_text(made.options()), PART, "fourtuple fleet hold 'é\n'", True),
    Begin(2**62),
    HoldOver(),
    Interrupt(),
]
FROM = [
    Joined(MEMBER),
    OfferMade(OFFER),
    CountMade(1, {"10.0.0.1": (5, 4), "fd00::1": (0, 0)}),
    PartsMade([StoredPart(PART, 7, "reached", b"{}", [b"", b"\0\xff"])]),
    PartsMade([]),
    Prepared(b"{}"),
    Moment(b"\0" * 1000),
    Finished(b"{}", None, "--no-store"),
    Finished(b"{}", 12, ""),
    Refused("UsageError", "a", "b", "c"),
    Gone("its worker is gone"),
]


@pytest.mark.parametrize("message", TO, ids=lambda each: type(each).__name__)
def test_what_the_coordinator_says_arrives(message: Any) -> None:
    assert for_machine(packed(message)) == message
    with pytest.raises(msgspec.DecodeError):
        from_machine(packed(message))


@pytest.mark.parametrize("message", FROM, ids=lambda each: type(each).__name__)
def test_what_a_machine_says_arrives(message: Any) -> None:
    assert from_machine(packed(message)) == message
    with pytest.raises(msgspec.DecodeError):
        for_machine(packed(message))


def test_every_message_is_tried_here() -> None:
    """A message that is added is added to these tests."""
    tried = {type(each) for each in (*TO, *FROM)}
    kinds = {each for base in (messages.ToMachine, messages.FromMachine) for each in base.__subclasses__()}

    assert tried == kinds


@given(st.sampled_from([*TO, *FROM]), st.data())
def test_other_bytes_are_refused_and_raise_nothing_else(message: Any, data: st.DataObject) -> None:
    """Bytes that were cut off or changed are another message, or raise what the links expect."""
    whole = packed(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(st.integers(0, 255))
    for each in (whole[:cut], whole[:cut] + bytes([changed]) + whole[cut + 1 :], bytes([changed]) + whole):
        for decode in (for_machine, from_machine):
            try:
                decode(each)
            except ValueError:
                continue


@pytest.mark.parametrize("error", [UsageError("a", "b", "c"), ShortfallError("a", "b"), CannotError("a")])
def test_an_error_arrives_as_it_was(error: FourtupleError) -> None:
    """Of the same class, so with the same exit code; the machine's name is put first."""
    there = Refused.of(error).error("m1")

    assert type(there) is type(error)
    assert (there.wanted, there.stopped_by, there.do) == (f"m1: {error.wanted}", error.stopped_by, error.do)
    assert Refused.of(error).error("").wanted == error.wanted
    assert type(Refused("Unheard", "a", "b", "c").error("")) is CannotError


# Options and orders


HOLDS = [
    made.options(),
    made.options(send=b"\0\xff {seq}\r\n", expect=b"\0\xff", every_s=0.5, reconnect=True, churn_per_s=12.5),
    made.options(send=b"ping", expect=4, timeout_s=0.25, fill_memory=True, anyway=True, i_own_this_target=True),
    made.options(strategy=Strategy.EXPLICIT, sources=("10.0.0.1-9", "10.1.0.1:1000-2000"), rate_per_s=1e5, workers=3),
    made.options(wanted=500, hold_s=None, stages=parse_stages("500@1s, 100@0.5s, 0@0s"), require=("lost<=1%",)),
    made.options(
        hold_s=float(2**40), watch=Watch.CENSUS, loop=LoopName.RING, first_address=True, log=True, reset=False
    ),
    made.options(destinations=["wss://10.0.0.9:443/a/{seq}"], session={"headers": (("X", "é"),)}),
    made.options(destinations=["mqtt://user:secret@10.0.0.9:1883"]),
    made.options(destinations=["https://[fd00::9]:443/"]),
]
SERVES = [
    ServeOptions(("127.0.0.1:8000-8009",), greet=b"\0\xffhello\n", echo=True, close_after_s=0.5, serve_s=9.0),
    ServeOptions(("0.0.0.0:80", "[::]:80"), scheme=Scheme.of("ws", secure=True), certificate="a", key="b", workers=2),
]


@pytest.mark.parametrize("options", HOLDS)
def test_the_options_of_a_hold_are_data(options: HoldOptions) -> None:
    assert from_text(to_text(options), OPTIONS["hold"]) == options


@pytest.mark.parametrize("options", SERVES)
def test_the_options_of_a_serve_are_data(options: ServeOptions) -> None:
    assert from_text(to_text(options), OPTIONS["serve"]) == options


@pytest.mark.parametrize(
    "other",
    [{}, {"even": True, "seed": 7, "at_once": 9}, {"run_s": 0.5, "require": ("lost<=1%",), "sources": ("10.0.0.1",)}],
)
def test_the_options_of_a_churn_are_data(other: dict[str, Any]) -> None:
    options = made_churn.churn_options(**other)

    assert from_text(to_text(options), OPTIONS["churn"]) == options


@pytest.mark.parametrize("options", HOLDS)
def test_the_order_of_a_hold_arrives(options: HoldOptions) -> None:
    order = made.order(options=options)
    there = order_from("hold", order_text(order))

    assert (there.options, there.start, there.plan) == (order.options, order.start, order.plan)  # type: ignore[union-attr]


def test_the_key_of_a_server_stays_where_it_is() -> None:
    order = ServeOrder(SERVES[1], made.start("serve"), LoopName.RING, "", 1, 9, made.order().free, b"PRIVATE KEY")

    assert b"PRIVATE" not in order_text(order)
    assert b"UFJJVkFURS" not in order_text(order)  # as base64
    assert order_from("serve", order_text(order)) == replace(order, certificate=b"")


# Samples


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(-(2**40), 2**40))
def test_a_sample_arrives_with_its_moments_on_the_clock_of_the_coordinator(seed: int, rows: int, offset: int) -> None:
    queue = AcceptQueue("127.0.0.1:80", 5, 128, None, "")
    before = replace(
        Sample.of(rows_of(seed, rows), 2**50),
        seen=Seen(5, None, {"TCPSynRetrans": 3}),
        census=Witness(9, None, 7, "sock_diag", 1, 2, (queue,)),
        last_words=b"\0\xff sorry",
        reasons={"status 503": 7},
    )
    after = sample_from(sample_bytes(before), offset)
    moved = {name: getattr(before, name) - offset for name in ("at_ns", "last_open_ns") if getattr(before, name)}
    first_ns = before.first_start_ns and before.first_start_ns - offset

    assert_same(after, replace(before, **moved, first_start_ns=first_ns))
    assert type(after.phase) is Phase
    assert after.rate_per_s == before.rate_per_s


def test_an_empty_sample_arrives() -> None:
    """A moment that has not been stays so on every clock."""
    empty = Sample.of(np.zeros(1, COUNTERS), 5)

    assert_same(sample_from(sample_bytes(empty), 3), replace(empty, at_ns=2))


def test_a_sample_says_all_that_it_has() -> None:
    """Of its fields, only events, the start and the machines of a fleet stay where they are."""
    kept = set(messages._Values.__struct_fields__)

    assert {each.name for each in fields(Sample)} - kept == {"events", "start", "machines"}


SAMPLE = sample_bytes(list(made.samples())[30])


@given(st.data())
def test_a_damaged_sample_raises_nothing_but_value_error(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(SAMPLE) - 1))
    changed = data.draw(st.binary(max_size=3))
    for damaged in (SAMPLE[:place], SAMPLE[:place] + changed + SAMPLE[place + len(changed) :], SAMPLE + changed):
        try:
            found = sample_from(damaged)
        except ValueError:
            continue
        assert found.connect_histogram.min() >= 0


@pytest.mark.parametrize("other", [b"", b"\x90", b"\xc0", b"{}", packed(HoldOver()), packed(Moment(SAMPLE))])
def test_what_is_no_sample_is_refused(other: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        sample_from(other)
