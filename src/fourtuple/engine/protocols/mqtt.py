"""MQTT 3.1.1 and MQTT 5 at the client: CONNECT, subscriptions, messages with QoS 0 and 1, and how a session ends.

What answers a message: with QoS 1 its PUBACK. With QoS 0 nothing does, unless the session subscribes: then any message
that arrives. If a message is expected to say something, it is what arrives that is compared, with either QoS. What a
server has retained is no answer; it arrives on its own.
"""

import math
from collections.abc import Callable, Sequence
from enum import Enum, auto
from itertools import chain

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.talk.session import MqttOptions
from fourtuple.core.visible import visible
from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Session, Turn
from fourtuple.engine.protocols.foreign import foreign
from fourtuple.engine.protocols.mqtt_packets import (
    MOST_TEXT_BYTES,
    PINGREQ,
    PINGRESP,
    V5,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Property,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    name_of,
    number_in,
)
from fourtuple.engine.protocols.mqtt_reading import MalformedError, PacketReader
from fourtuple.engine.protocols.mqtt_reasons import ERRORS, MALFORMED_PACKET, PROTOCOL_ERROR, reason_of

OTHERWISE = f"{FailureKind.MQTT}: a message that is not the expected one"
_SUBSCRIPTION = 1  # the packet identifier of SUBSCRIBE; it is free again when messages need one
_CONNACK = PacketType.CONNACK << 4


@dataclass(frozen=True, slots=True)
class MqttNames:
    """The texts that differ between connections.

    client_id: from the number of a connection, and ADDRESS:PORT of this end
    topic:     where a connection publishes
    filters:   what it subscribes to
    says_source: whether the client id depends on that end
    """

    client_id: Callable[[int, str], str]
    topic: Callable[[int], str]
    filters: Callable[[int], Sequence[str]]
    says_source: bool = True


class MqttStage(Enum):
    """How far a session is."""

    CONNECTING = auto()
    SUBSCRIBING = auto()
    OPEN = auto()
    OVER = auto()


class MqttSession:
    """One client."""

    def __init__(
        self, kind: "MqttClient", connection: int, source: str, stage: MqttStage = MqttStage.CONNECTING
    ) -> None:
        self._kind, self._connection, self._source = kind, connection, source
        self._stage = stage
        self._packets = PacketReader(kind.options.version)
        self._unanswered: set[int] = set()  # packet identifiers of messages without PUBACK
        self._last_id = 0

    @property
    def idle(self) -> bool:
        return self._stage is MqttStage.OPEN and not self._packets.partial and not self._unanswered

    def begin(self) -> Turn:
        return Turn(self._kind.connect(self._connection, self._source))

    def say(self, message: bytes) -> Turn:
        options = self._kind.options
        if options.qos:
            self._last_id = self._last_id % MOST_TEXT_BYTES + 1
            self._unanswered.add(self._last_id)
        topic = self._kind.names.topic(self._connection)
        packet = Publish(topic, message, options.qos, self._last_id if options.qos else 0)
        return Turn(packet.data(options.version))

    def received(self, data: bytes) -> Turn:
        if self._stage is MqttStage.OVER:
            return NOTHING
        if not data:
            return self._ended()
        if self._stage is MqttStage.CONNECTING and not self._packets.partial and data[0] != _CONNACK:
            return self._failed(foreign("MQTT", data))
        self._packets.receive(data)
        send, answers, wrong, ready, because = bytearray(), 0, 0, False, ""
        failed: Failure | None = None
        while failed is None and (turn := self._next()) is not None:
            send += turn.send
            answers, wrong, ready = answers + turn.answers, wrong + turn.wrong, ready or turn.ready
            because, failed = turn.because or because, turn.failed
        return Turn(bytes(send), False, ready, answers, wrong, failed, because=because)

    def goodbye(self) -> bytes:
        if self._stage in (MqttStage.CONNECTING, MqttStage.OVER):
            return b""
        self._stage = MqttStage.OVER
        return Disconnect().data(self._kind.options.version)

    def _next(self) -> Turn | None:
        """The reaction to the next packet; None: it is not here yet."""
        try:
            packet = self._packets.next()
        except MalformedError as error:
            return self._broken(f"malformed: {error}", MALFORMED_PACKET)
        return None if packet is None else self._taken(packet)

    def _taken(self, packet: Packet) -> Turn:
        match packet, self._stage:
            case ConnAck(), MqttStage.CONNECTING:
                return self._connected(packet)
            case SubAck(), MqttStage.SUBSCRIBING:
                return self._subscribed(packet)
            case Publish(), MqttStage.SUBSCRIBING | MqttStage.OPEN:
                return self._message(packet)
            case PubAck(), MqttStage.OPEN:
                return self._acknowledged(packet)
            case Disconnect(), MqttStage.SUBSCRIBING | MqttStage.OPEN if self._kind.options.version == V5:
                reason = reason_of(packet.code, V5, packet.properties)
                return self._failed(f"disconnected: {reason}", by_peer=True)
        if packet == PINGRESP and self._stage in (MqttStage.SUBSCRIBING, MqttStage.OPEN):
            return NOTHING
        return self._broken(f"{name_of(packet)} out of place", PROTOCOL_ERROR)

    def _connected(self, packet: ConnAck) -> Turn:
        options = self._kind.options
        if packet.code:
            return self._failed(f"refused: {reason_of(packet.code, options.version, packet.properties)}")
        if options.qos and number_in(packet.properties, Property.MAXIMUM_QOS) == 0:
            return self._failed("the server takes messages with QoS 0 only", Disconnect().data(options.version))
        self._kind.notice_keepalive(packet)
        filters = tuple((each, options.qos) for each in self._kind.names.filters(self._connection))
        if not filters:
            self._stage = MqttStage.OPEN
            return Turn(ready=True)
        self._stage = MqttStage.SUBSCRIBING
        return Turn(Subscribe(_SUBSCRIPTION, filters).data(options.version))

    def _subscribed(self, packet: SubAck) -> Turn:
        options = self._kind.options
        refused = [code for code in packet.codes if code in ERRORS]
        if refused:
            words = reason_of(refused[0], options.version) if options.version == V5 else "failure (128)"
            return self._failed(f"subscription refused: {words}", Disconnect().data(options.version))
        self._stage = MqttStage.OPEN
        return Turn(ready=True)

    def _message(self, packet: Publish) -> Turn:
        """A message that arrives, acknowledged; it is an answer unless PUBACK is."""
        if packet.qos > 1:
            return self._broken("a message with QoS 2, which was not asked for", PROTOCOL_ERROR)
        send = PubAck(packet.packet_id).data(self._kind.options.version) if packet.qos else b""
        if packet.retained or not self._kind.arrivals_answer:
            return Turn(send)
        right = self._kind.expected is None or self._kind.expected(packet.payload)
        return Turn(send, answers=int(right), wrong=int(not right), because="" if right else OTHERWISE)

    def _acknowledged(self, packet: PubAck) -> Turn:
        if packet.packet_id not in self._unanswered:
            return Turn(wrong=1, because=f"{FailureKind.MQTT}: PUBACK for a message that was not sent")
        self._unanswered.remove(packet.packet_id)
        if packet.code in ERRORS:
            refused = reason_of(packet.code, self._kind.options.version)
            return Turn(wrong=1, because=f"{FailureKind.MQTT}: message refused: {refused}")
        return NOTHING if self._kind.arrivals_answer else Turn(answers=1)

    def _broken(self, reason: str, code: int) -> Turn:
        version = self._kind.options.version
        return self._failed(reason, Disconnect(code).data(version) if version == V5 else b"")

    def _failed(self, reason: str, send: bytes = b"", *, by_peer: bool = False) -> Turn:
        self._stage = MqttStage.OVER
        return Turn(send, failed=Failure(FailureKind.MQTT, reason, by_peer))

    def _ended(self) -> Turn:
        """The server sends nothing more, wherever it was."""
        if self._packets.partial:
            return self._failed("closed in the middle of a packet")
        if self._stage is not MqttStage.OPEN:
            return self._failed(f"closed before {'CONNACK' if self._stage is MqttStage.CONNECTING else 'SUBACK'}")
        if self._kind.options.version == V5:
            return self._failed("closed without DISCONNECT")
        return self._failed("closed; MQTT 3.1.1 has no reasons", by_peer=True)  # nor another way to end a session


class MqttClient:
    """The sessions of clients.

    arrivals_answer: messages that arrive are the answers, and not PUBACK
    """

    many = None

    def __init__(
        self, options: MqttOptions, names: MqttNames, *, expected: Callable[[bytes], bool] | None = None
    ) -> None:
        """Raises UsageError for what no packet can hold.

        expected: whether the payload of a message that arrives is as expected; None: every message is
        """
        self.options, self.names, self.expected = options, names, expected
        self.keepalive_s: float = options.keepalive_s or math.inf
        texts = [*chain(names.filters(0)), names.topic(0), names.client_id(0, ""), options.user, options.password]
        for text in texts:
            _check(text)
        if not 0 <= options.keepalive_s <= MOST_TEXT_BYTES:
            raise UsageError(f"a keepalive of {options.keepalive_s} s", f"MQTT has 0 to {MOST_TEXT_BYTES:,} s")
        if options.password and not options.user and options.version != V5:
            raise UsageError("a password without a user", "MQTT 3.1.1 does not allow it (3.1.2.9)")
        self.arrivals_answer = bool(names.filters(0)) and (expected is not None or not options.qos)

    @property
    def says_source(self) -> bool:
        return self.names.says_source

    @property
    def answers(self) -> Answers:
        """As the contract has it: PUBACK, or messages that arrive."""
        if self.expected is not None or self.options.qos > 0:
            return Answers.EACH
        return Answers.ANY if self.arrivals_answer else Answers.NONE

    def make(self, connection: int, source: str) -> MqttSession:
        return MqttSession(self, connection, source)

    def resume(self, connection: int) -> MqttSession:
        return MqttSession(self, connection, "", MqttStage.OPEN)

    def beat(self, session: Session) -> Turn:
        return Turn(PINGREQ.data(self.options.version))

    def connect(self, connection: int, source: str) -> bytes:
        """CONNECT of a connection."""
        options = self.options
        packet = Connect(
            options.version,
            self.names.client_id(connection, source),
            options.keepalive_s,
            user=options.user or None,
            password=options.password.encode() if options.password else None,
        )
        return packet.data()

    def notice_keepalive(self, packet: ConnAck) -> None:
        """A server of MQTT 5 can want another interval, which counts (MQTT 5, 3.2.2.3.14)."""
        seconds = number_in(packet.properties, Property.SERVER_KEEP_ALIVE)
        if seconds is not None:
            self.keepalive_s = min(self.keepalive_s, seconds or math.inf)


def _check(text: str) -> None:
    """Raises UsageError for a text that no packet can hold (MQTT 5, 1.5.4)."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError(f"the text {visible(text)} of MQTT", "it is not UTF-8") from None
    if size > MOST_TEXT_BYTES or "\0" in text:
        raise UsageError("a text of MQTT", "it has more than 65,535 bytes, or a null character")
