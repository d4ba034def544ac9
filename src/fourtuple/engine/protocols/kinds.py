"""Which kind of session the options ask for: a protocol, inside TLS or not."""

import math

from fourtuple.core.talk.session import Scheme, SessionOptions
from fourtuple.engine.protocols.contract import SessionKind


def kind_of(session: SessionOptions, expect: bytes | int) -> SessionKind | None:
    """The sessions of clients; None for plain TCP, which has none.

    expect: what each message of the server has to be; empty: anything

    Raises UsageError for options that cannot be met, such as a certificate that cannot be read.
    """
    if session.scheme.inner is Scheme.WS:
        from fourtuple.engine.protocols.websocket import WebSocketClient

        options = session.websocket
        expected = (lambda message: message == expect) if expect else None
        keepalive_s = options.keepalive_s or math.inf
        return WebSocketClient(session.host, session.path, options, expected=expected, keepalive_s=keepalive_s)
    return None


def server_kind_of(scheme: Scheme) -> SessionKind | None:
    """The sessions of servers; None for plain TCP."""
    if scheme.inner is Scheme.WS:
        from fourtuple.engine.protocols.websocket import WebSocketServer

        return WebSocketServer()
    return None
