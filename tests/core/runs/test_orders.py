"""Orders are values: they go to another process as text and come back the same. Options are checked by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.orders import HoldOptions, HoldOrder, ServeOptions, ServeOrder, Watch, from_text, to_text
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.slices import Plan
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.talk.expectation import parse_expectation
from fourtuple.core.talk.script import Say, Word, script_of
from fourtuple.core.talk.session import Scheme
from fourtuple.core.talk.stages import parse_stages
from fourtuple.core.talk.template import parse_template
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


@pytest.mark.parametrize(
    ("destination", "others"),
    [
        ("https://127.0.0.1/{connection}", {"session": {"ca": "ca.pem", "alpn": ("h2",), "headers": (("A", "b"),)}}),
        ("ws://[::1]:8080/chat", {"send": b"{random:8}", "expect": "re:^x", "session": {"subprotocols": ("a",)}}),
        ("mqtts://user:word@127.0.0.1", {"send": b"\xff{line:a}", "session": {"subscribe": ("#",), "mqtt_version": 4}}),
        ("tls://127.0.0.1:9000", {"session": {"proxy": "socks5://127.0.0.1:1080"}}),
    ],
)
def test_an_order_with_a_session_comes_back_as_it_was(destination: str, others: dict[str, Any]) -> None:
    options = made.options(destinations=[destination], **others)
    words: list[Word] = [(Say.FIRST, parse_template(b"\xff {connection} {line:a}")), parse_expectation("len:2-9")]
    script = script_of(words).with_lines({"a": b"one\ntwo\xff\n"})
    order = replace(made.order(), options=options, script=script)
    back = from_text(to_text(order), HoldOrder)

    assert back == order
    assert back.script.opening[0].say is not None
    assert back.script.opening[0].say.render(1) == b"\xff 1 two\xff"


def test_an_order_with_stages_comes_back_as_it_was() -> None:
    options = made.options(stages=parse_stages("500@1s, 1k@0s, 1k@5m"), hold_s=None, churn_per_s=97.5)
    options.check()
    order = made.order(options=options)

    assert from_text(to_text(order), HoldOrder) == order


def test_an_order_over_unix_sockets_comes_back_as_it_was() -> None:
    options = made.options(destinations=["unix:/run/a.sock", "unix:@b"], strategy=None)
    plan = Plan.of_sockets(1000, ("/run/a.sock", "@b"), 3, OpeningPace())
    order = replace(made.order(options=options), plan=plan)

    assert from_text(to_text(order), HoldOrder) == order
    assert [share.wanted for share in plan.slices] == [333, 333, 334]
    assert plan.predicted == Interval.of(1000)


@pytest.mark.parametrize("name", ["/run/x.sock", "unix:/run/x.sock"])
def test_a_url_over_a_unix_socket_keeps_its_host(name: str) -> None:
    """As with curl, the URL says what is asked for, and the option says where."""
    options = HoldOptions.of(7, ["https://example.org/x"], session={"unix_socket": name})

    assert options.destinations == ("unix:/run/x.sock",)
    assert (options.session.host, options.session.path) == ("example.org:443", "/x")


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
        (partial(made.options, wanted=0), "0 connections"),
        (partial(made.options, wanted=2**40 + 1), "connections"),
        (partial(made.options, timeout_s=0.0001), "timeout"),
        (partial(made.options, every_s=1.0), "--every"),
        (partial(made.options, watch=Watch.CENSUS, send=b"x"), "--watch census"),
        (partial(made.options, watch=Watch.OFF, expect=b"x"), "--watch off"),
        (partial(made.options, watch=Watch.CENSUS, expect=32), "--watch census"),
        (partial(made.options, expect=0), "empty"),
        (partial(made.options, expect=2**24 + 1), "too long"),
        (partial(made.options, watch=Watch.OFF, reconnect=True), "--reconnect"),
        (partial(made.options, session={"insecure": True}), "--insecure for tcp"),
        (partial(made.options, destinations=["ws://127.0.0.1:80"], session={"qos": 1}), "--qos for ws"),
        (partial(made.options, destinations=["http://127.0.0.1"], expect="re:x"), "--expect for http"),
        (partial(made.options, destinations=["mqtt://127.0.0.1"], expect=b"x"), "--expect for mqtt"),
        (partial(made.options, destinations=["http://127.0.0.1"], watch=Watch.OFF), "--watch off with http"),
        (partial(made.options, destinations=["unix:/x"], sources=("127.0.0.1",)), "--from with a Unix socket"),
        (partial(made.options, destinations=["unix:/x"], strategy=Strategy.LATE), "--strategy with a Unix socket"),
        (partial(made.options, destinations=["unix:/x"], first_address=True), "--first-address with a Unix socket"),
        (partial(made.options, destinations=["unix:/x"], log=True), "--log with a Unix socket"),
        (partial(made.options, destinations=["unix:/x"], session={"insecure": True}), "--insecure for tcp"),
        (partial(made.options, destinations=["unix:/x"], session={"proxy": "http://127.0.0.1:1"}), "--proxy with"),
        (partial(made.options, destinations=["127.0.0.1:1"], session={"unix_socket": "/x"}), "--unix-socket"),
        (partial(made.options, destinations=["http://a", "http://b"], session={"unix_socket": "/x"}), "--unix-socket"),
        (partial(made.options, destinations=["http://a:1-2"], session={"unix_socket": "/x"}), "--unix-socket"),
        (partial(made.options, destinations=["http://a"], session={"unix_socket": "x" * 108}), "108 bytes"),
        (partial(ServeOptions, ("unix:/x",), log=True), "--log with a Unix socket"),
        (partial(ServeOptions, ("unix:/x",), watch=Watch.CENSUS), "--watch census with a Unix socket"),
        (partial(made.options, destinations=["http://127.0.0.1", "ws://127.0.0.1"]), "http://127.0.0.1"),
        (partial(ServeOptions, ()), "no address"),
        (partial(ServeOptions, ("127.0.0.1:80",), scheme=Scheme.WS, echo=True), "--echo with ws"),
        (partial(ServeOptions, ("127.0.0.1:80",), scheme=Scheme.HTTP, watch=Watch.CENSUS), "--watch census with http"),
        (partial(ServeOptions, ("127.0.0.1:80",), certificate="x"), "--cert"),
        (partial(ServeOptions, ("127.0.0.1:8000",), backlog=-1), "backlog"),
        (partial(ServeOptions, ("127.0.0.1:8000",), echo=True, watch=Watch.CENSUS), "--echo"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_by_name(
    options: Callable[[], HoldOptions | ServeOptions], named: str
) -> None:
    with pytest.raises(UsageError) as refused:
        options().check()
    assert named in refused.value.wanted


@pytest.mark.parametrize(
    "options", [made.options(), made.options(send=b"x", every_s=0.0), made.options(watch=Watch.OFF)]
)
def test_options_that_go_together_are_taken(options: HoldOptions) -> None:
    options.check()
