"""MQTT 3.1.1 and MQTT 5 at the server: a broker for each client alone, which gets back what it publishes.

A session keeps the version and the filters of its client, therefore it is never idle.
"""

import math

from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Session, Turn
from fourtuple.engine.protocols.foreign import foreign
from fourtuple.engine.protocols.mqtt_packets import (
    MOST_TEXT_BYTES,
    NO_LOCAL,
    PINGREQ,
    PINGRESP,
    QOS_MASK,
    V3,
    V5,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Properties,
    Property,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    name_of,
)
from fourtuple.engine.protocols.mqtt_reading import MalformedError, PacketReader
from fourtuple.engine.protocols.mqtt_reasons import (
    MALFORMED_PACKET,
    NORMAL,
    PROTOCOL_ERROR,
    QOS_NOT_SUPPORTED,
    UNACCEPTABLE_VERSION,
    UNSUPPORTED_VERSION,
    reason_of,
)

_CONNECT = PacketType.CONNECT << 4
_NO_SUBSCRIPTION = 17  # UNSUBACK (MQTT 5, 3.11.3)
# What CONNACK of MQTT 5 says about this server.
_LIMITS: Properties = {
    Property.MAXIMUM_QOS: 1,
    Property.RETAIN_AVAILABLE: 0,
    Property.SHARED_SUBSCRIPTION_AVAILABLE: 0,
}


class MqttServerSession:
    """One client at the server."""

    idle = False

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._packets = PacketReader()
        self._filters: dict[str, int] = {}  # with their options
        self._last_id = 0
        self._over = False

    def begin(self) -> Turn:
        return NOTHING

    def say(self, message: bytes) -> Turn:
        """Nothing: this server sends messages only to whom they came from."""
        return NOTHING

    def received(self, data: bytes) -> Turn:
        if self._over:
            return NOTHING
        if not data:
            return self._failed(f"closed {'in the middle of a packet' if self._packets.partial else self._early()}")
        if not self._packets.version and not self._packets.partial and data[0] != _CONNECT:
            return self._failed(foreign("MQTT", data))
        self._packets.receive(data)
        send, answers, ready = bytearray(), 0, False
        failed: Failure | None = None
        while failed is None and (turn := self._next()) is not None:
            send += turn.send
            answers, failed, ready = answers + turn.answers, turn.failed, ready or turn.ready
        return Turn(bytes(send), ready=ready, answers=answers, failed=failed)

    def goodbye(self) -> bytes:
        """DISCONNECT, which only a server of MQTT 5 may send."""
        connected, self._over = self._packets.version == V5 and not self._over, True
        return Disconnect(NORMAL).data(V5) if connected else b""

    def _early(self) -> str:
        return "without DISCONNECT" if self._packets.version else "before CONNECT"

    def _next(self) -> Turn | None:
        """The answer to the next packet; None: it is not here yet."""
        try:
            packet = self._packets.next()
        except MalformedError as error:
            return self._broken(f"malformed: {error}", MALFORMED_PACKET)
        if packet is None:
            return None
        if isinstance(packet, Connect) != (not self._packets.version):
            return self._broken(f"{name_of(packet)} out of place", PROTOCOL_ERROR)
        return self._taken(packet)

    def _taken(self, packet: Packet) -> Turn:
        version = self._packets.version
        match packet:
            case Connect():
                return self._connected(packet)
            case Publish():
                return self._message(packet)
            case Subscribe():
                codes = tuple(min(options & QOS_MASK, 1) for _, options in packet.filters)
                self._filters.update(packet.filters)
                return Turn(SubAck(packet.packet_id, codes).data(version))
            case Unsubscribe():
                gone = [self._filters.pop(name, None) for name in packet.filters]
                codes = tuple(_NO_SUBSCRIPTION if qos is None else NORMAL for qos in gone)
                return Turn(UnsubAck(packet.packet_id, codes).data(version))
            case Disconnect():
                return self._failed(f"disconnected: {reason_of(packet.code, V5, packet.properties)}", by_peer=True)
            case PubAck():
                return NOTHING
        if packet == PINGREQ:
            return Turn(PINGRESP.data(version))
        return self._broken(f"{name_of(packet)} out of place", PROTOCOL_ERROR)

    def _connected(self, packet: Connect) -> Turn:
        if packet.version not in (V3, V5):
            old = packet.version < V3
            refusal = ConnAck(UNACCEPTABLE_VERSION if old else UNSUPPORTED_VERSION).data(V3 if old else V5)
            return self._failed("neither MQTT 3.1.1 nor MQTT 5", refusal)
        self._packets.version = packet.version
        named: Properties = {Property.ASSIGNED_CLIENT_ID: f"client-{self._connection}"}
        properties = _LIMITS if packet.client_id else {**_LIMITS, **named}
        return Turn(ConnAck(NORMAL, properties=properties).data(packet.version), ready=True)

    def _message(self, packet: Publish) -> Turn:
        version = self._packets.version
        if packet.qos > 1:
            return self._broken("a message with QoS 2, which this server has not", QOS_NOT_SUPPORTED)
        if not packet.topic:
            return self._broken("a message without a topic", PROTOCOL_ERROR)
        send = PubAck(packet.packet_id).data(version) if packet.qos else b""
        subscribed = [
            each for name, each in self._filters.items() if matches(name, packet.topic) and not each & NO_LOCAL
        ]
        if subscribed:
            qos = min(packet.qos, max(each & QOS_MASK for each in subscribed))
            self._last_id = self._last_id % MOST_TEXT_BYTES + 1
            send += Publish(packet.topic, packet.payload, qos, self._last_id if qos else 0).data(version)
        return Turn(send, answers=1)

    def _broken(self, reason: str, code: int) -> Turn:
        """MQTT 3.1.1 has no way to tell the client why."""
        return self._failed(reason, Disconnect(code).data(V5) if self._packets.version == V5 else b"")

    def _failed(self, reason: str, send: bytes = b"", *, by_peer: bool = False) -> Turn:
        self._over = True
        return Turn(send, failed=Failure(FailureKind.MQTT, reason, by_peer))


class MqttServer:
    """The sessions of a server."""

    keepalive_s = math.inf
    answers, says_source = Answers.NONE, False
    many = replies = None

    def make(self, connection: int, source: str) -> MqttServerSession:
        return MqttServerSession(connection)

    def resume(self, connection: int) -> MqttServerSession:
        """A new session: those of a server are never idle, so none is ever resumed."""
        return MqttServerSession(connection)

    def beat(self, session: Session) -> Turn:
        """Nothing: in MQTT it is the client that sends pings."""
        return NOTHING


def matches(name: str, topic: str) -> bool:
    """Whether a topic filter matches a topic: `+` is one level, `#` at its end any number of them (MQTT 5, 4.7)."""
    wanted, levels = name.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(one in ("+", level) for one, level in zip(wanted, levels, strict=True))
