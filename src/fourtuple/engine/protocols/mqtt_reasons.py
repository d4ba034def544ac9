"""What the reason codes of MQTT mean, in words."""

from fourtuple.core.visible import visible
from fourtuple.engine.protocols.mqtt_packets import V5, Properties, Property, text_in
from fourtuple.engine.protocols.peer_words import own_words

ERRORS = range(0x80, 0x100)  # codes below are no errors
NORMAL = 0
MALFORMED_PACKET, PROTOCOL_ERROR, UNSUPPORTED_VERSION = 129, 130, 132
QOS_NOT_SUPPORTED = 155
UNACCEPTABLE_VERSION = 1  # of CONNACK in MQTT 3.1.1
# MQTT Version 5.0, 2.4.
_CODES = {
    0: "normal disconnection",
    4: "disconnect with will message",
    16: "no matching subscribers",
    17: "no subscription existed",
    24: "continue authentication",
    25: "re-authenticate",
    128: "unspecified error",
    129: "malformed packet",
    130: "protocol error",
    131: "implementation specific error",
    132: "unsupported protocol version",
    133: "client identifier not valid",
    134: "bad user name or password",
    135: "not authorized",
    136: "server unavailable",
    137: "server busy",
    138: "banned",
    139: "server shutting down",
    140: "bad authentication method",
    141: "keep alive timeout",
    142: "session taken over",
    143: "topic filter invalid",
    144: "topic name invalid",
    145: "packet identifier in use",
    146: "packet identifier not found",
    147: "receive maximum exceeded",
    148: "topic alias invalid",
    149: "packet too large",
    150: "message rate too high",
    151: "quota exceeded",
    152: "administrative action",
    153: "payload format invalid",
    154: "retain not supported",
    155: "QoS not supported",
    156: "use another server",
    157: "server moved",
    158: "shared subscriptions not supported",
    159: "connection rate exceeded",
    160: "maximum connect time",
    161: "subscription identifiers not supported",
    162: "wildcard subscriptions not supported",
}
# MQTT Version 3.1.1, 3.2.2.3: of CONNACK.
_CODES_3 = {
    1: "unacceptable protocol version",
    2: "identifier rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}


def reason_of(code: int, version: int, properties: Properties | None = None) -> str:
    """`not authorized (135)`, with the server to use instead, or with the server's own words if they are few."""
    words = f"{(_CODES if version == V5 or code in ERRORS else _CODES_3).get(code, 'unknown reason')} ({code})"
    if elsewhere := text_in(properties or {}, Property.SERVER_REFERENCE):
        return f"{words}: {visible(elsewhere)}"
    return words + own_words(text_in(properties or {}, Property.REASON_STRING))
