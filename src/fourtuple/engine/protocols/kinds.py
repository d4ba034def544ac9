"""Which kind of session the options ask for: a protocol, inside TLS or not, through a proxy or not."""

import functools
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import EndpointSpec
from fourtuple.core.talk.destinations import parse_proxy
from fourtuple.core.talk.expectation import is_answer
from fourtuple.core.talk.script import Script
from fourtuple.core.talk.session import MqttOptions, Scheme, SessionOptions
from fourtuple.core.talk.template import Template, parse_template
from fourtuple.core.units import quoted
from fourtuple.engine.protocols.contract import ServerKind, SessionKind

if TYPE_CHECKING:
    from fourtuple.engine.protocols.mqtt import MqttNames


def kind_of(session: SessionOptions, script: Script) -> SessionKind | None:
    """The sessions of clients; None for plain TCP with a fixed text and answer, which needs none.

    Raises UsageError for options that cannot be met, such as a certificate that cannot be read; CannotError.
    """
    if session.scheme is Scheme.TCP and not session.proxy and script.is_fixed:
        return None
    kind = _inside(session, script)
    if session.scheme.secure:
        from fourtuple.engine.protocols.tls import TlsClient

        alpn = ("http/1.1",) if session.scheme.inner in (Scheme.HTTP, Scheme.WS) else ()
        kind = TlsClient(session.tls, EndpointSpec.parse(session.host).host, kind, alpn)
    return _through(session, kind) if session.proxy else kind


def message_of(session: SessionOptions, script: Script) -> Template | None:
    """What is said again and again; None: nothing. HTTP asks even if nothing is sent with it."""
    said = script.message.say if script.message else None
    if session.scheme.inner is not Scheme.HTTP:
        return said
    body = said or Template(())
    path = _template(session.path)
    return Template((*path.parts, b" ", *body.parts), body.lines) if path.needs else body


def _inside(session: SessionOptions, script: Script) -> SessionKind:
    match session.scheme.inner:
        case Scheme.HTTP:
            from fourtuple.engine.protocols.http import HttpClient

            is_fixed = not _template(session.path).needs
            return HttpClient(session.http, _authority(session), session.path if is_fixed else "")
        case Scheme.WS:
            from fourtuple.engine.protocols.websocket import WebSocketClient

            options = session.websocket
            return WebSocketClient(
                _authority(session),
                session.path,
                options,
                expected=_expected(script),
                keepalive_s=options.keepalive_s or math.inf,
            )
        case Scheme.MQTT:
            from fourtuple.engine.protocols.mqtt import MqttClient

            return MqttClient(session.mqtt, _mqtt_names(session.mqtt), expected=_expected(script))
    from fourtuple.engine.protocols.text import TextKind

    return TextKind(script, random=np.random.default_rng(), now_ns=time.time_ns)


def _authority(session: SessionOptions) -> str:
    """HOST, or HOST:PORT if the port is not that of the scheme (RFC 9110, 4.2.3)."""
    spec = EndpointSpec.parse(session.host)
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    return host if spec.ports and spec.ports[0] == session.scheme.port else session.host


def _expected(script: Script) -> Callable[[bytes], bool] | None:
    """Whether a whole message of the server is as expected; None: every message is."""
    parts = script.message.expect if script.message else ()
    if not parts:
        return None

    return functools.partial(is_answer, parts)


def _template(text: str) -> Template:
    """The template of an option. Raises UsageError if it names a file, which only messages do."""
    template = parse_template(text.encode())
    if template.files:
        what = "lines of a file are for --send and --first"
        raise UsageError(quoted(text), what, "Write {connection} or {random:8} here.")
    return template


def _mqtt_names(options: MqttOptions) -> "MqttNames":
    from fourtuple.engine.protocols.mqtt import MqttNames

    random = np.random.default_rng()
    client_id, topic = _template(options.client_id), _template(options.topic)
    filters = [_template(each) for each in options.subscribe]

    def text(template: Template, connection: int, source: str = "") -> str:
        return template.render(connection, source=source, now_ns=time.time_ns(), random=random).decode()

    return MqttNames(
        client_id=lambda connection, source: text(client_id, connection, source),
        topic=lambda connection: text(topic, connection),
        filters=lambda connection: [text(each, connection) for each in filters],
        says_source=client_id.says_source,
    )


def _through(session: SessionOptions, kind: SessionKind) -> SessionKind:
    """The same through a proxy."""
    from fourtuple.engine.protocols.proxy import ProxyClient

    proxy = parse_proxy(session.proxy)
    if proxy.scheme == "http":
        from fourtuple.engine.protocols.http_connect import HttpConnect, connect_request

        asked = connect_request(session.host, proxy.user, proxy.password)
        return ProxyClient(lambda: HttpConnect(asked), kind)
    from fourtuple.engine.protocols.socks import Socks5, SocksRequest

    end = EndpointSpec.parse(session.host)
    request = SocksRequest.of(end.host, end.ports[0] if end.ports else 0, proxy.user, proxy.password)
    return ProxyClient(lambda: Socks5(request), kind)


def server_kind_of(scheme: Scheme, certificate: bytes, greet: bytes, *, echo: bool) -> ServerKind | None:
    """The sessions of servers; None for plain TCP, which needs none.

    certificate: PEM with the key, of TLS
    greet, echo: of plain text
    """
    if scheme is Scheme.TCP:
        return None
    kind: ServerKind
    match scheme.inner:
        case Scheme.HTTP:
            from fourtuple.engine.protocols.http_server import HttpServer

            kind = HttpServer()
        case Scheme.WS:
            from fourtuple.engine.protocols.websocket import WebSocketServer

            kind = WebSocketServer()
        case Scheme.MQTT:
            from fourtuple.engine.protocols.mqtt_server import MqttServer

            kind = MqttServer()
        case _:
            from fourtuple.engine.protocols.text import EchoKind

            kind = EchoKind(greet, echo=echo)
    if not scheme.secure:
        return kind
    from fourtuple.engine.protocols.tls import TlsServer

    return TlsServer(certificate, kind, ("http/1.1",) if scheme.inner in (Scheme.HTTP, Scheme.WS) else ())
