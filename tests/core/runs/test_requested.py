"""Every option of a run has a name and a text, and what differs has another text."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from fourtuple.core.runs.churn_orders import ChurnOptions, ClosedBy
from fourtuple.core.runs.orders import HoldOptions, ServeOptions
from fourtuple.core.runs.requested import requested
from fourtuple.core.talk.expectation import expect_size, expect_text
from fourtuple.core.talk.lifetime import parse_lifetime
from fourtuple.core.talk.script import Exchange, Script
from fourtuple.core.talk.session import HttpOptions, MqttOptions, Scheme, SessionOptions, TlsOptions, WebSocketOptions
from fourtuple.core.talk.stages import parse_stages
from fourtuple.core.talk.template import parse_template

HOLD, CHURN, SERVE = HoldOptions(10, ("a:80",)), ChurnOptions(10.0, ("a:80",)), ServeOptions(("a:80",))
OTHERS: dict[str, Any] = {
    "destinations": ("a:80", "b:80"),
    "where": ("a:81",),
    "script": Script((Exchange(None, (expect_size(3),)),), Exchange(parse_template(b"{random:8}"))),
    "session": SessionOptions(
        Scheme.WSS,
        "b:443",
        "/x",
        "http://c:1",
        TlsOptions("ca", True, "sni", ("h2",), "cert", "key", "1.3", True),
        HttpOptions("PUT", (("A", "b"),), (range(200, 201),)),
        WebSocketOptions(("chat",), (("C", "d"), ("E", "f")), True, 3.0),
        MqttOptions(4, "me", 5, "user", "secret", "t", 1, ("#",)),
    ),
    "lifetime": parse_lifetime("exp:2s"),
    "stages": parse_stages("10@1s"),
    "closed_by": ClosedBy.FIN,
    "require": ("lost=0", "failed=0"),
}


def sends(content: bytes) -> Script:
    return Script((), Exchange(parse_template(content)))


def expects(content: bytes) -> Script:
    return Script((Exchange(None, (expect_text(content),)),))


def changed(options: Any) -> Any:
    """The same with another value of every option."""

    def other(name: str, value: Any) -> Any:
        if name in OTHERS:
            return OTHERS[name]
        if isinstance(value, bool):
            return not value
        return (
            value + 1 if isinstance(value, int | float) else {"": "x", b"": b"x", (): ("x",), None: 7}.get(value, "x")
        )

    return dataclasses.replace(
        options, **{f.name: other(f.name, getattr(options, f.name)) for f in dataclasses.fields(options)}
    )


def leaves(record: Any) -> Iterator[str]:
    for each in dataclasses.fields(record):
        value = getattr(record, each.name)
        if each.name in ("session", "script", "tls", "http", "websocket", "mqtt"):
            yield from leaves(value)
        else:
            yield each.name


@pytest.mark.parametrize("options", [HOLD, CHURN, SERVE], ids=["hold", "churn", "serve"])
def test_another_value_of_any_option_is_another_text(options: Any) -> None:
    """No option is left out, and no two share a name."""
    one, two = requested(options), requested(changed(options))

    assert len(one) == len(two) == len([*leaves(options)])
    assert [name for name in one if one[name] == two[name]] == []


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"timeout_s": 60.04}, {"timeout_s": 60.041}),
        ({"rate_per_s": 1000.25}, {"rate_per_s": 1000.5}),
        ({"every_s": 0.0}, {"every_s": None}),
        ({"script": sends(b"x" * 99)}, {"script": sends(b"x" * 98)}),
        ({"script": expects(b"x" * 60 + b"y")}, {"script": expects(b"x" * 61)}),
    ],
)
def test_values_that_are_shown_rounded_or_cut_still_differ(one: dict[str, Any], two: dict[str, Any]) -> None:
    first, second = (requested(dataclasses.replace(HOLD, **each)) for each in (one, two))

    assert [name for name in first if first[name] != second[name]]


def test_no_password_is_kept() -> None:
    options = HoldOptions.of(1, ["mqtt://me:secret@a:1"], session={"proxy": "http://you:hidden@b:3128"})
    texts = [*requested(options).values(), *options.targets]

    assert not any("secret" in text or "hidden" in text for text in texts)
    assert requested(options)["mqtt password"] != requested(HOLD)["mqtt password"]


@pytest.mark.parametrize(
    ("typed", "session", "targets"),
    [
        ("a:80", {}, ("a:80",)),
        ("https://a/b?c", {"insecure": True}, ("https://a:443/b?c",)),
        ("tls://[fd00::1]:5-6", {}, ("tls://[fd00::1]:5-6",)),
        ("unix:/x.sock", {}, ("unix:/x.sock",)),
        ("http://a/b", {"unix_socket": "/x.sock"}, ("http://a:80/b through unix:/x.sock",)),
        ("ws://a/b", {"proxy": "socks5://u:p@c:1"}, ("ws://a:80/b through socks5://u:…@c:1",)),
    ],
)
def test_targets_say_what_runs_on_the_connections(
    typed: str, session: dict[str, Any], targets: tuple[str, ...]
) -> None:
    assert HoldOptions.of(1, [typed], session=session).targets == targets
    assert ChurnOptions.of(1.0, [typed], session=session).targets == targets


def test_a_server_says_its_scheme() -> None:
    served = ServeOptions(("127.0.0.1:1", "unix:@x"), scheme=Scheme.HTTPS)

    assert served.targets == ("https://127.0.0.1:1", "unix:@x (https)")
