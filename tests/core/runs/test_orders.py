"""Orders are values: they go to another process as text and come back the same. Options are checked by name."""

from dataclasses import replace

import msgspec
import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.orders import HoldOptions, HoldOrder, ServeOptions, ServeOrder, Watch, from_text, to_text
from fourtuple.core.space.tuples import TupleSpace
from tests import made


@pytest.mark.parametrize(
    "space",
    [
        TupleSpace.of(["127.0.0.1"], range(32768, 33268), ["127.0.0.1:8000-8003"]),
        TupleSpace.of(["fd00::1", "fd00::9"], range(1024, 65536), ["[fd00::2]:80", "[fd00::3]:443"]),
        TupleSpace.of(["10.0.0.2-9"], range(40_000, 40_100), ["10.1.0.0/29:80"]).without_ports([40_007, 40_009]),
    ],
)
def test_an_order_to_hold_comes_back_as_it_was(space: TupleSpace) -> None:
    order = made.order(workers=3)
    for expect in (b"\xff\0", 32):
        options = made.options(send=b"\0\xff", expect=expect, rate_per_s=7.5)
        order = replace(order, plan=replace(order.plan, space=space), options=options)
        assert from_text(to_text(order), HoldOrder) == order


def test_an_order_to_serve_comes_back_as_it_was() -> None:
    hold = made.order()
    options = ServeOptions(("127.0.0.1:8000",), greet="grüezi".encode(), close_after_s=0.5, watch=Watch.CENSUS)
    order = ServeOrder(options, hold.start, hold.loop, hold.loop_because, None, 20_000, hold.free)

    assert from_text(to_text(order), ServeOrder) == order


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", to_text(made.order()).replace(b"1000", b'"many"')])
def test_what_is_no_order_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        from_text(text, HoldOrder)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (made.options(wanted=0), "0 connections"),
        (made.options(wanted=2**40 + 1), "connections"),
        (made.options(timeout_s=0.0001), "timeout"),
        (made.options(every_s=1.0), "--every"),
        (made.options(watch=Watch.CENSUS, send=b"x"), "--watch census"),
        (made.options(watch=Watch.OFF, expect=b"x"), "--watch off"),
        (made.options(watch=Watch.CENSUS, expect=32), "--watch census"),
        (made.options(expect=0), "empty"),
        (made.options(expect=2**24 + 1), "too long"),
        (made.options(watch=Watch.OFF, reconnect=True), "--reconnect"),
        (ServeOptions(()), "no address"),
        (ServeOptions(("127.0.0.1:8000",), backlog=-1), "backlog"),
        (ServeOptions(("127.0.0.1:8000",), echo=True, watch=Watch.CENSUS), "--echo"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_by_name(options: HoldOptions | ServeOptions, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        options.check()
    assert named in refused.value.wanted


@pytest.mark.parametrize(
    "options", [made.options(), made.options(send=b"x", every_s=0.0), made.options(watch=Watch.OFF)]
)
def test_options_that_go_together_are_taken(options: HoldOptions) -> None:
    options.check()
