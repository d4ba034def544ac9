"""The options of a session: TLS, HTTP, WebSocket, MQTT. The scheme of the destination decides which of them apply."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fourtuple.cli.common import DURATION
from fourtuple.core.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class Header(click.ParamType[tuple[str, str]]):
    """Parameter type: `NAME: VALUE`."""

    name = "NAME: VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, colon, rest = value.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"--header {value!r}", "a header is NAME: VALUE", "Write 'Accept: text/plain'.")
        return name.strip(), rest.strip()


FILE = click.Path(dir_okay=False, readable=False)
OPTIONS = (
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
    click.option("--tls", "tls_version", type=click.Choice(["1.2", "1.3"]), help="TLS: this version only."),
    click.option("--resume", is_flag=True, help="TLS: resume sessions of earlier connections."),
    click.option("--method", metavar="NAME", help="HTTP: method.  [default: GET; POST with --send]"),
    click.option(
        "--header",
        "headers",
        type=Header(),
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
    click.option("--mqtt", "mqtt_version", type=click.Choice(["3.1.1", "5"]), help="MQTT: version.  [default: 5]"),
    click.option("--client-id", metavar="TEXT", help="MQTT: client identifier; {connection} is its number."),
    click.option("--topic", metavar="TEXT", help="MQTT: topic of messages.  [default: fourtuple/{connection}]"),
    click.option("--qos", type=click.IntRange(0, 1), help="MQTT: quality of service, 0 or 1.  [default: 0]"),
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

    found = {name: options.pop(name) for name in FLAGS}
    version = found["mqtt_version"]
    found["mqtt_version"] = {"3.1.1": 4, "5": 5}[version] if version else None
    return found
