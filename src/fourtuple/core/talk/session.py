"""Which session runs on a connection, as data: the scheme, and the options of each protocol.

A session is what two programs speak over a connection once it is open: a TLS handshake, HTTP requests, WebSocket
frames, MQTT packets. These records say what is wanted; engine/protocols speaks it.
"""

import re
from collections.abc import Sequence

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import URL_PORTS, is_unix


class Scheme(StrEnum):
    """The protocol that the scheme of a destination names; those that end in s (and `tls`) run inside TLS."""

    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    HTTPS = "https"
    WS = "ws"
    WSS = "wss"
    MQTT = "mqtt"
    MQTTS = "mqtts"

    @classmethod
    def of(cls, inner: str, *, secure: bool) -> "Scheme":
        """The scheme of this protocol, inside TLS or not."""
        return next(each for each in cls if each.inner == inner and each.secure is secure)

    @property
    def secure(self) -> bool:
        """Whether it runs inside TLS."""
        return self in (Scheme.TLS, Scheme.HTTPS, Scheme.WSS, Scheme.MQTTS)

    @property
    def inner(self) -> "Scheme":
        """What runs inside TLS: `http` for `https`, `tcp` for `tls`; itself if it is not secure."""
        return _INNER.get(self, self)

    @property
    def port(self) -> int | None:
        """The port if a destination names none; None: it has to name one."""
        return URL_PORTS.get(self)


_INNER = {Scheme.TLS: Scheme.TCP, Scheme.HTTPS: Scheme.HTTP, Scheme.WSS: Scheme.WS, Scheme.MQTTS: Scheme.MQTT}


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How a client does TLS.

    ca:          file or folder with the certificates that are trusted; empty: those of the system
    insecure:    accept any certificate and any name
    sni:         the server name to ask for and to verify; empty: the host of the destination
    alpn:        protocols to offer, the preferred one first; none: what the scheme needs (http/1.1 for https and wss)
    certificate: file with the client's certificate (and its key if `key` is empty); empty: none
    key:         file with its key
    version:     1.2 or 1.3 only; empty: both
    resume:      resume sessions: later connections use the tickets of earlier ones
    """

    ca: str = ""
    insecure: bool = False
    sni: str = ""
    alpn: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    version: str = ""
    resume: bool = False


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How HTTP/1.1 requests are made.

    method:  GET, unless there is a body, then POST
    headers: NAME: VALUE; Host, Content-Length and User-Agent are added if they are missing
    status:  the expected status codes; none: 200 to 399
    """

    method: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    status: tuple[range, ...] = ()


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """How WebSockets are opened and used (RFC 6455).

    subprotocols: offered, the preferred one first; if some are offered, the server must choose one
    headers:      further headers of the upgrade request
    binary:       send binary messages instead of text
    keepalive_s:  a ping is sent at least that often; 0: none
    """

    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    binary: bool = False
    keepalive_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """How MQTT sessions are opened and used.

    version:     4: MQTT 3.1.1; 5: MQTT 5
    client_id:   of each client, a template; it must differ between connections
    keepalive_s: sent with CONNECT; something is sent at least that often; 0: none
    user, password: of CONNECT; empty: none
    topic:       where messages are published, a template
    qos:         0 or 1, of messages and of the subscription
    subscribe:   topic filters to subscribe to
    """

    version: int = 5
    client_id: str = "fourtuple-{random:8}-{connection}"
    keepalive_s: int = 60
    user: str = ""
    password: str = ""
    topic: str = "fourtuple/{connection}"
    qos: int = 0
    subscribe: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What runs on every connection of a run.

    host: HOST:PORT of the first destination, as typed: the server name of TLS and the Host of HTTP
    path: of the destination, with its query; empty: none
    proxy: URL of a proxy that connects on: http://… (CONNECT) or socks5://…; empty: none
    """

    scheme: Scheme = Scheme.TCP
    host: str = ""
    path: str = ""
    proxy: str = ""
    tls: TlsOptions = TlsOptions()
    http: HttpOptions = HttpOptions()
    websocket: WebSocketOptions = WebSocketOptions()
    mqtt: MqttOptions = MqttOptions()

    def urls(self, destinations: Sequence[str]) -> tuple[str, ...]:
        """The destinations with what the session adds: a scheme, a path, and the host that a proxy connects on to.

        destinations: HOST:PORT or unix:NAME to connect to, or to listen on
        """
        if self.proxy or (self.host and self.scheme is not Scheme.TCP and any(map(is_unix, destinations))):
            return (f"{self._url(self.host)} through {hidden(self.proxy) or ', '.join(destinations)}",)
        return tuple(map(self._url, destinations))

    def _url(self, destination: str) -> str:
        if self.scheme is Scheme.TCP:
            return destination
        if is_unix(destination):
            return f"{destination} ({self.scheme})"
        return f"{self.scheme}://{destination}{self.path}"


def hidden(text: str) -> str:
    """The text of a URL without its password."""
    return re.sub(r"^((?:[^:/?#@]+://)?[^:/?#@]*:)(?!//)[^/?#]*@", r"\1…@", text)
