"""What programs log of HTTP, WebSocket and MQTT sessions, and of proxies, that fail: texts and the causes they lead to.

Sources: RFC 9110, 15; RFC 6455, 7.4; MQTT Version 5.0, 2.4, and 3.1.1, 3.2.2.3; RFC 1928, 6; websockets 15, ws 8,
gorilla/websocket 1.5, Chromium, tungstenite 0.26, mosquitto 2.0, paho 2.1, MQTT.js 5, curl 8, requests 2.32, axios 1.7,
nginx 1.28.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

Causes = Sequence[str]
# Statuses that are about connections; of others only the class counts.
STATUSES: Mapping[int, Causes] = MappingProxyType(
    {
        401: ("http-unauthorized",),
        403: ("http-unauthorized",),
        407: ("http-proxy-login",),
        408: ("http-408",),
        429: ("http-429",),
        499: ("http-499",),
        502: ("http-502",),
        503: ("http-503",),
        504: ("http-504",),
    }
)
OF_CLASS: Mapping[int, Causes] = MappingProxyType(
    {
        1: ("unexpected-answer",),
        2: ("unexpected-answer",),
        3: ("http-redirect",),
        4: ("http-request",),
        5: ("http-server",),
    }
)
_OF_UPGRADE: Mapping[int, Causes] = {
    1: ("http-no-upgrade",),
    2: ("http-no-upgrade",),
    3: ("http-redirect",),
    4: ("http-no-upgrade", "http-request"),
    5: ("http-server", "http-no-upgrade"),
}
_OF_TUNNEL: Mapping[int, Causes] = {
    **dict.fromkeys((3, 4), ("proxy-broken", "proxy-forbids")),
    5: ("proxy-cannot-reach",),
    403: ("proxy-forbids",),
    405: ("proxy-forbids", "proxy-broken"),
    407: ("http-proxy-login",),
    429: ("http-429",),
}
# What stands before a status of HTTP where a client reports it as its failure: of a request, an upgrade, a tunnel.
_REQUEST = ("http: status ",)
_GATEWAY = (  # for what a gateway says; any other status is the program's own matter
    *("returned error: ", "request failed with status code ", "unexpected status code ", "unexpected status code: "),
    *(
        "unexpected http status: ",
        "http error ",
        "http error: ",
        "wrong status, code: ",
        "probe failed with statuscode: ",
    ),
    "unexpected http response: ",
)
_UPGRADE = (
    *("websocket: status ", "unexpected server response: ", "unexpected response code: ", "handshake status "),
    *("server rejected websocket connection: http ", "status code 101 but got ", "wsserverhandshakeerror: "),
)
_TUNNEL = (
    *("proxy: status ", "tunnel connection failed: ", "connect tunnel failed, response ", "http code from proxy: "),
    *("socket could not be established, statuscode=", "proxy responded with non 200 code: "),
    *('proxy returns "http/1.1 ', 'proxy returns "http/1.0 '),
)
# A close code → its cause, and how libraries begin its words behind it, in brackets.
CLOSE_CODES: Mapping[int, tuple[str, Sequence[str]]] = MappingProxyType(
    {
        1000: ("ws-normal", ("normal", "ok")),
        1001: ("ws-going-away", ("going",)),
        1002: ("ws-protocol", ("protocol",)),
        1003: ("ws-unsupported", ("unsupported",)),
        1005: ("ws-no-code", ("no status",)),
        1006: ("ws-abnormal", ("abnormal", "connection closed abnormally")),
        1007: ("ws-protocol", ("invalid",)),
        1008: ("ws-policy", ("policy",)),
        1009: ("ws-too-big", ("message too",)),
        1010: ("ws-extension", ("mandatory", "extension")),
        1011: ("ws-internal", ("internal", "unexpected")),
        1012: ("ws-restart", ("service",)),
        1013: ("ws-try-later", ("try",)),
        1014: ("ws-gateway", ("bad gateway",)),
        1015: ("ws-tls", ("tls",)),
        3000: ("ws-unauthorized", ("unauthorized",)),
        3003: ("ws-unauthorized", ("forbidden",)),
        3008: ("ws-timeout", ("timeout",)),
    }
)
ORDINARY = (1000, 1001, 1005)  # codes with which sessions end that did not fail
_BEFORE_CODE = (
    *("websocket: close ", "close code ", "close code: ", "close code = ", "close code=", "close_code=", "closecode="),
    *("closecode: ", "closestatus[code=", "closereason: code [", "closeevent*code: ", "websocket*code "),
    *("websocket*code: ", "websocket*code=", 'websocket*"code":', 'websocket*"code": ', "websocket closed: "),
    *("websocket closed with ", "websocket connection closed: ", "websocket closed ", "websocket disconnected: "),
)
# Reason codes of MQTT 5, and those of CONNACK in 3.1.1 → words, cause.
MQTT_CODES: Mapping[int, Sequence[tuple[str, str]]] = MappingProxyType(
    {
        1: (("unacceptable protocol version", "mqtt-version"),),
        2: (("identifier rejected", "mqtt-identifier"), ("invalid client id", "mqtt-identifier")),
        3: (("server unavailable", "mqtt-unavailable"), ("broker unavailable", "mqtt-unavailable")),
        4: (("bad user name or password", "mqtt-login"),),
        5: (("not authorized", "mqtt-login"), ("not authorized to connect", "mqtt-login")),
        128: (("unspecified error", "mqtt-unspecified"),),
        129: (("malformed packet", "mqtt-protocol"),),
        130: (("protocol error", "mqtt-protocol"),),
        131: (("implementation specific error", "mqtt-unspecified"),),
        132: (("unsupported protocol version", "mqtt-version"),),
        133: (("client identifier not valid", "mqtt-identifier"),),
        134: (("bad user name or password", "mqtt-login"),),
        135: (("not authorized", "mqtt-login"),),
        136: (("server unavailable", "mqtt-unavailable"),),
        137: (("server busy", "mqtt-unavailable"),),
        138: (("banned", "mqtt-banned"),),
        139: (("server shutting down", "mqtt-shutdown"),),
        140: (("bad authentication method", "mqtt-login"),),
        141: (("keep alive timeout", "mqtt-keepalive"),),
        142: (("session taken over", "mqtt-taken-over"),),
        143: (("topic filter invalid", "mqtt-topic"),),
        144: (("topic name invalid", "mqtt-topic"),),
        145: (("packet identifier in use", "mqtt-protocol"),),
        146: (("packet identifier not found", "mqtt-protocol"),),
        147: (("receive maximum exceeded", "mqtt-flow"),),
        148: (("topic alias invalid", "mqtt-protocol"),),
        149: (("packet too large", "mqtt-too-large"),),
        150: (("message rate too high", "mqtt-quota"),),
        151: (("quota exceeded", "mqtt-quota"),),
        152: (("administrative action", "mqtt-shutdown"),),
        153: (("payload format invalid", "mqtt-protocol"),),
        154: (("retain not supported", "mqtt-unsupported"),),
        155: (("qos not supported", "mqtt-unsupported"),),
        156: (("use another server", "mqtt-elsewhere"),),
        157: (("server moved", "mqtt-elsewhere"),),
        158: (("shared subscriptions not supported", "mqtt-topic"),),
        159: (("connection rate exceeded", "mqtt-quota"),),
        160: (("maximum connect time", "mqtt-shutdown"),),
        161: (("subscription identifiers not supported", "mqtt-unsupported"),),
        162: (("wildcard subscriptions not supported", "mqtt-topic"),),
    }
)
# What brokers and libraries write without the code, behind words such as `connection refused:`.
_IN_WORDS = {
    "mqtt-login": "not authorised\nnot authorized\nbad user name or password\nbad username or password",
    "mqtt-identifier": "identifier rejected\nclient identifier not valid\ninvalid client identifier",
    "mqtt-version": "unacceptable protocol version\nunsupported protocol version",
    "mqtt-unavailable": "server unavailable\nbroker unavailable\nserver busy",
    "mqtt-banned": "banned",
    "mqtt-keepalive": "keep alive timeout\nkeepalive timeout",
    "mqtt-taken-over": "session taken over",
    "mqtt-too-large": "packet too large\noversize packet",
}
_BEFORE_WORDS = (
    "connection refused: ",
    "connection refused - ",
    "client * disconnected: ",
    "client * disconnected, ",
    "reason code ",
)
_LOGGED: Mapping[Causes, str] = {
    ("mqtt-login",): (
        "connection error: not authorized\nconnection error: not authorised\nconnection error: bad user name or"
        " password\n"
        "reason: not_authorized\nreason: bad_username_or_password\n"
        "mqtt*(notauthorized)\nmqtt*(badusernameorpassword)"
    ),
    ("mqtt-keepalive",): "has exceeded timeout, disconnecting\nreason: keepalive_timeout\nmqtt*keepalive timeout",
    ("mqtt-taken-over",): "already connected, closing old connection\nreason: takenover\nreason: discarded",
    ("mqtt-protocol",): "client * disconnected due to protocol error\nclient * disconnected due to malformed packet",
    ("mqtt-lost",): "unexpected mqtt disconnection\nconnection lost (32109)\nsocket error on client *, disconnecting",
    ("proxy-cannot-reach",): (
        "general socks server failure\nreply 1 (general failure)\nreply 3 (network unreachable)\n"
        "reply 4 (host unreachable)\nreply 5 (connection refused)\nreply 6 (ttl expired)\n0x03: network unreachable\n"
        "0x04: host unreachable\n0x05: connection refused\n0x06: ttl expired\nunknown error connection refused\n"
        "unknown error host unreachable\nunknown error network unreachable\ncan't complete socks5 connection\n"
        "can't complete socks4 connection\nerr_tunnel_connection_failed\nerr_socks_connection_failed\n"
        "err_socks_connection_host_unreachable"
    ),
    ("proxy-forbids",): (
        "reply 2 (not allowed by the ruleset)\nconnection not allowed by ruleset\nnot allowed by socks server ruleset"
    ),
    ("http-proxy-login",): (
        "proxy authentication required\nreceived http code 407 from proxy\nerr_proxy_auth_unsupported\n"
        "err_proxy_auth_requested\nsocks5 authentication failed\nuser was rejected by the socks5 server\n"
        "all offered socks5 authentication methods were rejected\nno authentication method was acceptable\n"
        "no acceptable authentication methods"
    ),
    ("proxy-broken",): "reply 7 (command not supported)\nreply 8 (address type not supported)\nreply * (unassigned)",
    ("http-499",): "client prematurely closed connection",
    ("plain-client",): 'malformed http response "\x15\x03*',  # an alert of TLS
    ("other-protocol",): (
        "malformed http response\nreceived http/0.9 when not allowed\nexpected http/\nhpe_invalid_constant\n"
        "badstatusline\nupstream sent invalid header\nupstream sent no valid http/1.0 header\n"
        "looked like an http/1.1 header\ndid not receive a valid http response"
    ),
    ("ws-abnormal",): (
        "no close frame received\nconnection closed abnormally\nresetwithoutclosinghandshake\n"
        "connection reset without closing handshake\nwebsocket protocol error: connection reset without closing"
        " handshake"
    ),
    ("ws-policy",): "statuspolicyviolation",
    ("ws-internal",): "statusinternalerror\nkeepalive ping timeout",
    ("ws-try-later",): "statustryagainlater",
    ("ws-restart",): "statusservicerestart",
    ("ws-own-code",): (
        "closed with * (a library's code)\nclosed with * (a program's code)\nreceived * (private use)\n"
        "received * (registered)\nwebsocket: close 3*\nwebsocket: close 4*"
    ),
    ("ws-too-big",): (
        "statusmessagetoobig\nmax payload size exceeded\nwebsocket: read limit exceeded\nover size limit (*bytes)\n"
        "frame exceeds limit of # bytes"
    ),
    ("ws-protocol",): (
        "statusprotocolerror\none or more reserved bits are on\ninvalid frame header\na server must not mask any"
        " frames\n"
        "could not decode a text frame as utf-8\ninvalid websocket frame\nrsv1 must be clear\n"
        "rsv2 and rsv3 must be clear\nmask must be set\nmask must be clear\nwebsocket protocol error"
    ),
    ("ws-handshake",): (
        "websocket: bad handshake\nerror during websocket handshake\nwebsocket connection to * failed\n"
        "websocket is closed before the connection is established\nwebsocketbadstatusexception\n"
        "was closed before the connection was established\nwsserverhandshakeerror\n"
        "can't establish a connection to the server at ws*"
    ),
    ("ws-subprotocol",): (
        "server sent no subprotocol\nserver sent an invalid subprotocol\nunsupported subprotocol\n"
        "sent non-empty 'sec-websocket-protocol' header but no response was received\nno subprotocols supported"
    ),
    ("session-failed",): "write eproto",
}
# The reasons of our own sessions, beside statuses and codes, of each kind.
OURS: Mapping[str, Mapping[Causes, str]] = MappingProxyType(
    {
        "tls": {("tls-cut",): "unexpected eof in the middle of the handshake"},
        "http": {
            ("other-protocol",): (
                "not http\na malformed status line\na malformed request line\na malformed header\n"
                "a malformed content-length\na malformed chunk\nan unknown transfer-encoding\nnot one host header\n"
                "malformed http\nheaders that are too long\nan answer without a request\n"
                "a switch to another protocol\nthe request is not valid http"
            ),
            ("plain-client",): "not http but tls",
            ("http-408",): "status 408 without a request",
            ("http-not-kept",): "the server keeps no connection open",
            ("session-closed",): "ended in the middle of an answer\nended without an answer",
        },
        "websocket": {
            ("ws-protocol",): (
                "a close code that may not be sent\ntext that is not utf-8\na reserved bit is set\n"
                "a frame of a server is masked\na frame of a client is not masked\nan unknown opcode\n"
                "a control frame in fragments\na control frame with more than 125 bytes\n"
                "a length in more bytes than it needs\na length of more than 63 bits\na continuation of no message\n"
                "a message within another\na frame that is not valid"
            ),
            ("ws-abnormal",): (
                "closed without a close frame\nclosed in the middle of a frame\nclosed in the middle of a message"
            ),
            ("ws-no-code",): "closed without a close code",
            ("ws-too-big",): "a message larger than # mib",
            ("ws-handshake",): (
                "wrong sec-websocket-accept\nthe server's answer has no\nthe server's answer is http/\n"
                "extension * was not offered\nthe client asked for no upgrade\n"
                "the client asked for another version of websocket"
            ),
            ("ws-subprotocol",): (
                "no subprotocol was chosen\nmore than one subprotocol was chosen\nsubprotocol * was not offered"
            ),
            ("other-protocol",): "not http\nmalformed http\nhttp headers that are too long",
            ("plain-client",): "not http but tls",
            ("session-closed", "http-no-upgrade"): "closed in the middle of the upgrade\nclosed before the upgrade",
            ("unexpected-answer",): "a message that is not the expected one\na message that answers none",
        },
        "mqtt": {
            ("mqtt-protocol",): (
                "malformed: *\n* out of place\na message with qos 2, which was not asked for\nan acknowledgement of"
            ),
            ("other-protocol",): "not mqtt",
            ("plain-client",): "not mqtt but tls",
            ("mqtt-unsupported",): "the server takes messages with qos 0 only",
            ("mqtt-unspecified",): (
                "refused: unknown reason\ndisconnected: unknown reason\nsubscription refused: unknown reason\n"
                "subscription refused: failure (128)"
            ),
            ("mqtt-ended",): "disconnected: normal disconnection (0)\ndisconnected: disconnect with will message (4)",
            ("mqtt-lost",): (
                "closed before connack\nclosed before suback\nclosed without disconnect\n"
                "closed in the middle of a packet\nclosed; mqtt 3.1.1 has no reasons"
            ),
            ("unexpected-answer",): "a message that is not the expected one\npuback for a message that was not sent",
        },
        "proxy": {
            ("other-protocol", "proxy-broken"): "not http\nnot socks5\nmalformed http",
            ("plain-client",): "not http but tls\nnot socks5 but tls",
            ("proxy-broken",): (
                "ended before the tunnel stood\na malformed reply\na method was not offered\n"
                "a malformed status line\na malformed header\nheaders that are too long"
            ),
            ("http-proxy-login",): "user and password are refused\nno method of authentication is accepted",
        },
        "text": {
            ("unexpected-answer",): (
                "the answer to --first is not\nthe answer to --first does not\nthe greeting is not\n"
                "the greeting does not\nan answer is not\nan answer does not\nmore than the answer:"
            ),
            ("session-closed",): (
                "closed before the greeting was complete\nclosed before the answer was complete\n"
                "closed before the answer to --first was complete"
            ),
        },
        "session": {("session-timeout",): "not established in time"},
    }
)
FAILED = "\n".join(f"\u00d7 {kind}:" for kind in OURS)  # as `hold` counts reasons: what none of the above says


def _statuses() -> Iterator[tuple[Causes, str]]:
    for forms, of_class, others in (
        (_REQUEST, OF_CLASS, STATUSES),
        (_UPGRADE, _OF_UPGRADE, STATUSES),
        (_TUNNEL, _OF_TUNNEL, _OF_TUNNEL),
    ):
        for number, causes in of_class.items():
            if number < 10:
                yield causes, "\n".join(f"{form}{number}*" for form in forms)
        for status, causes in others.items():
            if status > 10:
                yield causes, "\n".join(f"{form}{status}" for form in forms)
    for status, causes in STATUSES.items():
        if status not in (401, 403):
            reported = [f"{form}{status}" for form in _GATEWAY]
            yield causes, "\n".join([*reported, f"{status} server error:", f"{status} client error:"])


def _close_codes() -> Iterator[tuple[Causes, str]]:
    for code, (cause, words) in CLOSE_CODES.items():
        forms = [f"websocket: closed with {code}"]
        if code not in ORDINARY:
            forms += [f"{before}{code}" for before in _BEFORE_CODE]
            named = [f"{code} ({word}" for word in words]
            forms += [f"{before} {name}" for before in ("closed with", "received", "sent") for name in named]
            forms += [f"code = {name}" for name in named] + (named if code < 3000 else [])
        yield (cause,), "\n".join(forms)


def _reason_codes() -> Iterator[tuple[Causes, str]]:
    for code, named in MQTT_CODES.items():
        for words, cause in named:
            yield (cause,), f"{words} ({code})\nsending connack to * (0, {code})\nconnected with result code {code}"
    for cause, text in _IN_WORDS.items():
        yield (cause,), "\n".join(f"{before}{words}" for before in _BEFORE_WORDS for words in text.split("\n"))


def texts() -> Iterator[tuple[Causes, str]]:
    """Yield causes, and the texts that lead to them, one a line, each as `Phrase.text` has it."""
    yield ("session-failed",), FAILED
    yield from _LOGGED.items()
    for kind, reasons in OURS.items():
        for causes, text in reasons.items():
            yield causes, "\n".join(f"{kind}: {line}" for line in text.split("\n"))
    yield from _statuses()
    yield from _close_codes()
    yield from _reason_codes()
