"""Everything that a command line says about what runs on each connection: destinations, session, script."""

from collections.abc import Mapping, Sequence
from typing import Any

from fourtuple.core.record import dataclass
from fourtuple.core.talk.content import check_size
from fourtuple.core.talk.destinations import parse_destinations, parse_proxy
from fourtuple.core.talk.expectation import Expectation, expect_size, expect_text, parse_expectation
from fourtuple.core.talk.script import Say, Script, Word
from fourtuple.core.talk.session import SessionOptions
from fourtuple.core.talk.template import parse_template
from fourtuple.core.talk.typed import connects_to, session_of, with_script


@dataclass(frozen=True, slots=True)
class Meant:
    """What was asked for.

    destinations: HOST:PORT[-PORT] or unix:NAME to connect to: those of the proxy if there is one
    """

    destinations: tuple[str, ...]
    session: SessionOptions
    script: Script


def asked(
    destinations: str | Sequence[str],
    *,
    session: Mapping[str, Any] | None = None,
    send: bytes = b"",
    expect: bytes | int | str = b"",
    words: Sequence[Word] | None = None,
) -> Meant:
    """What destinations that may be URLs mean, together with the options of a session.

    session: options of the session, by the names of FLAGS (core/talk/typed.py)
    send:    the message to send on each connection, a template (core/talk/template.py); empty: none
    expect:  the answer to each message, or the greeting if nothing is sent: these bytes, that many bytes, or what
             a text says (core/talk/expectation.py); empty: anything
    words:   instead of these two: all that is said and expected, in order

    Raises UsageError for destinations that contradict each other, and for options that their scheme does not have.
    """
    target = parse_destinations(destinations)
    if words is None:
        words = [*([(Say.SEND, parse_template(send))] if send else []), *_expected(expect)]
    typed = session or {}
    said, script = with_script(session_of(target, typed), words)
    proxied = parse_proxy(said.proxy).destination if said.proxy else ""
    return Meant(connects_to(target, typed.get("unix_socket"), proxied), said, script)


def _expected(expect: bytes | int | str) -> list[Expectation]:
    if isinstance(expect, str):
        return [parse_expectation(expect)]
    if isinstance(expect, int):
        check_size(expect)
        return [expect_size(expect)]
    return [expect_text(expect)] if expect else []
