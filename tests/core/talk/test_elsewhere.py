"""A protocol that is none of ours comes with a dialogue that our own options can say."""

import shlex

import pytest

from fourtuple.core.talk.content import parse_text
from fourtuple.core.talk.elsewhere import PROTOCOLS, advice_on


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_advised_options_can_be_typed(name: str) -> None:
    """Every text of a dialogue has valid escapes, and something is expected in it."""
    words = shlex.split(PROTOCOLS[name].options)

    assert "--expect" in words
    for option, value in zip(words[::2], words[1::2], strict=True):
        assert option in ("--first", "--send", "--expect", "--alpn")
        assert value.startswith("re:") or parse_text(value)


def test_the_advice_has_the_port_of_the_protocol_unless_there_is_one() -> None:
    assert "tcp://h:6379 " in advice_on("redis", "h/0")[1]
    assert "tcp://[::1]:6379 " in advice_on("redis", "[::1]")[1]
    assert "tls://h:1 " in advice_on("rediss", "u@h:1")[1]
