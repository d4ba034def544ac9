"""The options of a session: TLS, HTTP, WebSocket, MQTT. The scheme of the destination decides which of them apply."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fourtuple.cli.common import CONTENT, DURATION
from fourtuple.cli.values import OneOf, Parsed, Whole
from fourtuple.core.errors import UsageError

if TYPE_CHECKING:
    from fourtuple.core.talk.expectation import Expectation
    from fourtuple.core.talk.script import Word

F = TypeVar("F", bound=Callable[..., Any])


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, 5.5: a tab may be in a value


def header_of(text: str) -> tuple[str, str]:
    """`NAME: VALUE`. Raises UsageError."""
    name, colon, rest = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(repr(text), "a header is NAME: VALUE", "Write 'Accept: text/plain'.")
    name, said = name.strip(), rest.strip()
    if not _TOKEN.fullmatch(name):
        do = "A name has letters, digits and !#$%&'*+-.^_`|~ only."
        raise UsageError(repr(text), f"{name!r} is not the name of a header", do)
    if _CONTROL.search(said):
        do = "Give --header once for each header."
        raise UsageError(repr(text), "a header is one line, without control characters", do)
    return name, said


class Ordered(click.Command):
    """A command that keeps in which order its options were typed, each as often as it was."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[_ORDER] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


def _expected(text: str) -> "Expectation":
    """What an answer has to be (core/talk/expectation.py); @FILE means exactly the content of FILE."""
    from fourtuple.core.talk.expectation import expect_text, parse_expectation

    if text.startswith("@"):
        from fourtuple.verbs.content import read_content

        return expect_text(read_content(text[1:]))
    return parse_expectation(text)


_ORDER = "fourtuple.order"
FIRST = click.option(
    "--first",
    type=CONTENT,
    multiple=True,
    help="Send this once on each connection, before anything else (repeatable).",
)
SEND = click.option(
    "--send",
    type=CONTENT,
    multiple=True,
    help="Send this on each connection: text with \\r, \\n, \\xHH and placeholders such as {connection}, {message},"
    " {random:8}; @FILE, or a size such as 32B.",
)
EXPECT = click.option(
    "--expect",
    type=Parsed("EXPECTATION", _expected),
    multiple=True,
    metavar="TEXT|@FILE|SIZE|re:…|len:…|until:…|status:…",
    help="Expected answer to the --send or --first before it (without these: expected greeting).",
)


def of_script(options: dict[str, Any]) -> list["Word"]:
    """Take --first, --send and --expect out of `options` → all of them, in the order in which they were typed."""
    from fourtuple.core.talk.script import Say
    from fourtuple.core.talk.template import parse_template

    values = {
        "first": iter([(Say.FIRST, parse_template(text)) for text in options.pop("first")]),
        "send": iter([(Say.SEND, parse_template(text)) for text in options.pop("send")]),
        "expect": iter(options.pop("expect")),
    }
    return [next(values[name]) for name in click.get_current_context().meta[_ORDER] if name in values]


UNIX_PATH = "|unix:PATH"  # in the metavar of destinations and of addresses to listen on
FILE = click.Path(dir_okay=False, readable=False)
OPTIONS = (
    click.option("--proxy", metavar="URL", help="Connect through http://HOST:PORT (CONNECT) or socks5://HOST:PORT."),
    click.option(
        "--unix-socket",
        metavar="PATH",
        help="Connect to this Unix socket instead of the URL's host; @NAME: an abstract one.",
    ),
    click.option(
        "--ca",
        type=click.Path(readable=False),
        metavar="FILE",
        help="TLS: certificates to trust.  [default: the system's]",
    ),
    click.option("--insecure", is_flag=True, help="TLS: accept any certificate and any name."),
    click.option("--sni", metavar="NAME", help="TLS: server name to ask for and to verify.  [default: the host]"),
    click.option("--alpn", multiple=True, metavar="NAME", help="TLS: protocol to offer (repeatable)."),
    click.option("--cert", "certificate", type=FILE, metavar="FILE", help="TLS: certificate of the client."),
    click.option("--key", type=FILE, metavar="FILE", help="TLS: its key.  [default: in the file of --cert]"),
    click.option("--tls", "tls_version", type=OneOf(["1.2", "1.3"]), help="TLS: this version only."),
    click.option("--resume", is_flag=True, help="TLS: resume sessions of earlier connections."),
    click.option("--method", metavar="NAME", help="HTTP: method.  [default: GET; POST with --send]"),
    click.option(
        "--header",
        "headers",
        type=Parsed("NAME: VALUE", header_of),
        multiple=True,
        metavar="'NAME: VALUE'",
        help="HTTP, WebSocket: header (repeatable).",
    ),
    click.option(
        "--subprotocol",
        "subprotocols",
        multiple=True,
        metavar="NAME",
        help="WebSocket: subprotocol to offer (repeatable).",
    ),
    click.option("--binary", is_flag=True, help="WebSocket: send binary messages."),
    click.option(
        "--keepalive",
        "keepalive_s",
        type=DURATION,
        help="WebSocket, MQTT: send a ping at least that often.  [default: none; MQTT: 60s]",
    ),
    click.option("--mqtt", "mqtt_version", type=OneOf(["3.1.1", "5"]), help="MQTT: version.  [default: 5]"),
    click.option("--client-id", metavar="TEXT", help="MQTT: client identifier; {connection} is its number."),
    click.option("--topic", metavar="TEXT", help="MQTT: topic of messages.  [default: fourtuple/{connection}]"),
    click.option("--qos", type=Whole(0, 1), help="MQTT: quality of service, 0 or 1.  [default: 0]"),
    click.option(
        "--subscribe", multiple=True, metavar="FILTER", help="MQTT: topic filter to subscribe to (repeatable)."
    ),
)


def session(command: F) -> F:
    """Add the options of a session to a command; `of_session` takes them out of its arguments."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def of_session(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a session out of `options`."""
    from fourtuple.core.talk.typed import FLAGS

    found = {name: options.pop(name, None) for name in FLAGS}
    version = found["mqtt_version"]
    found["mqtt_version"] = {"3.1.1": 4, "5": 5}[version] if version else None
    return found
