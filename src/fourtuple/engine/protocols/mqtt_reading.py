"""How packets of MQTT are read: what is in their bytes, wherever these were cut, or why they are none.

Numbers in parentheses are sections of MQTT Version 5.0 (OASIS, 2019).
"""

from fourtuple.engine.protocols.mqtt_packets import (
    FLAGS,
    HOLDS,
    NAME,
    OLD_NAME,
    V3,
    V5,
    ConnAck,
    Connect,
    Disconnect,
    OtherPacket,
    Packet,
    PacketType,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Value,
)

LARGEST_BYTES = 16 << 20  # of a packet that is taken in
_MOST_LENGTH_BYTES = 4
_SEVERAL = {11, 38}  # properties that may come more than once


class MalformedError(Exception):
    """What came is no packet of MQTT; its text says why."""


class PacketReader:
    """Takes in data and gives whole packets.

    version: 4 or 5; 0 until CONNECT is read, which has it
    """

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self._data = bytearray()

    @property
    def partial(self) -> bool:
        """Whether it has a part of a packet."""
        return bool(self._data)

    def receive(self, data: bytes) -> None:
        self._data += data

    def next(self) -> Packet | None:
        """The next packet; None: it is not here yet. Raises MalformedError."""
        if not self._data:
            return None
        length, at = _length(self._data, 1)
        if at == 0:
            return None
        if length > LARGEST_BYTES:
            raise MalformedError(f"a packet larger than {LARGEST_BYTES >> 20} MiB")
        if len(self._data) < at + length:
            return None
        first, body = self._data[0], bytes(self._data[at : at + length])
        del self._data[: at + length]
        return decoded(first, body, self.version)


def decoded(first: int, body: bytes, version: int) -> Packet:
    """The packet with this first byte and this body. Raises MalformedError."""
    kind, flags = first >> 4, first & 0x0F
    if kind not in PacketType._value2member_map_:
        raise MalformedError("a packet of no type")
    packet_type = PacketType(kind)
    if packet_type is not PacketType.PUBLISH and flags != FLAGS.get(packet_type, 0):
        raise MalformedError(f"{packet_type.name} with other flags than it has to have")
    rest = _Body(body, version)
    packet: Packet
    match packet_type:
        case PacketType.CONNECT:
            packet = rest.connect()
        case PacketType.CONNACK:
            packet = rest.connack()
        case PacketType.PUBLISH:
            return rest.publish(flags)
        case PacketType.PUBACK:
            packet = PubAck(rest.packet_id(), rest.code())
        case PacketType.SUBSCRIBE:
            packet = rest.subscribe()
        case PacketType.SUBACK:
            return SubAck(rest.packet_id(properties=True), tuple(rest.some()))
        case PacketType.UNSUBSCRIBE:
            packet = rest.unsubscribe()
        case PacketType.UNSUBACK:
            return UnsubAck(rest.packet_id(properties=True), tuple(rest.some() if version == V5 else rest.take(0)))
        case PacketType.DISCONNECT:
            packet = Disconnect(*rest.code_and_properties())
        case PacketType.PINGREQ | PacketType.PINGRESP:
            packet = OtherPacket(packet_type)
        case _:
            return OtherPacket(packet_type)
    if rest.left:
        raise MalformedError(f"{packet_type.name} with more than it has to have")
    return packet


class _Body:
    """Takes the parts of a packet from its body, in their order."""

    def __init__(self, data: bytes, version: int) -> None:
        self._data, self._at, self._version = data, 0, version

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise MalformedError("a packet that is too short for what is in it")
        self._at += size
        return self._data[self._at - size : self._at]

    def some(self) -> bytes:
        """All that is left, which may not be nothing."""
        return self.take(max(1, self.left))

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise MalformedError("text that is not UTF-8") from None
        if "\0" in text:
            raise MalformedError("text with a null character")
        return text

    def packet_id(self, *, properties: bool = False) -> int:
        number = self.number(2)
        if not number:
            raise MalformedError("a packet identifier that is zero")
        if properties:
            self.properties()
        return number

    def code(self) -> int:
        return self.code_and_properties()[0]

    def code_and_properties(self) -> tuple[int, Properties]:
        """What may be left out: in MQTT 3.1.1 always, in MQTT 5 where it is 0 and empty."""
        code = self.number(1) if self._version == V5 and self.left else 0
        return code, self.properties() if self.left else {}

    def properties(self) -> Properties:
        """Properties (2.2.2); in MQTT 3.1.1 there are none, and they take no bytes."""
        if self._version != V5:
            return {}
        end = self._variable() + self._at
        if end > len(self._data):
            raise MalformedError("a packet that is too short for what is in it")
        found: dict[int, Value] = {}
        while self._at < end:
            name = self._variable()
            if name not in HOLDS:
                raise MalformedError("a property that does not exist")
            if name in found and name not in _SEVERAL:
                raise MalformedError("a property that is there twice")
            found[name] = self._value(HOLDS[name])
        if self._at != end:
            raise MalformedError("properties of another length than they say")
        return found

    def connect(self) -> Connect:
        name, version = self.text(), self.number(1)
        if name not in (NAME, OLD_NAME):
            raise MalformedError("CONNECT of another protocol")
        if name == OLD_NAME or version not in (V3, V5):
            self._at = len(self._data)
            return Connect(0 if name == OLD_NAME else version)
        self._version = version
        flags, keepalive_s = self.number(1), self.number(2)
        if flags & 1:
            raise MalformedError("CONNECT with a reserved flag")
        self.properties()
        client_id = self.text()
        if flags & 0x04:
            self.properties()
            self.text()
            self.binary()
        user = self.text() if flags & 0x80 else None
        return Connect(version, client_id, keepalive_s, bool(flags & 2), user, self.binary() if flags & 0x40 else None)

    def connack(self) -> ConnAck:
        present, code = self.number(1), self.number(1)
        return ConnAck(code, bool(present), self.properties())

    def publish(self, flags: int) -> Publish:
        qos = flags >> 1 & 3
        if qos == 3:
            raise MalformedError("a message with QoS 3")
        topic = self.text()
        number = self.packet_id() if qos else 0
        self.properties()
        return Publish(topic, self.take(self.left), qos, number, bool(flags & 1))

    def subscribe(self) -> Subscribe:
        number = self.packet_id(properties=True)
        filters = [(self.text(), self.number(1))]
        while self.left:
            filters.append((self.text(), self.number(1)))
        return Subscribe(number, tuple(filters))

    def unsubscribe(self) -> Unsubscribe:
        number = self.packet_id(properties=True)
        filters = [self.text()]
        while self.left:
            filters.append(self.text())
        return Unsubscribe(number, tuple(filters))

    def _variable(self) -> int:
        """A number of one to four bytes (1.5.5)."""
        number, at = _length(self._data, self._at)
        if at == 0:
            raise MalformedError("a packet that is too short for what is in it")
        self._at = at
        return number

    def _value(self, holds: int | str) -> Value:
        if isinstance(holds, int):
            return self.number(holds)
        match holds:
            case "v":
                return self._variable()
            case "b":
                return self.binary()
            case "p":
                return self.text(), self.text()
        return self.text()


def _length(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A number of one to four bytes (1.5.5) → the number, and where it ends; 0: it is not all here.

    Raises MalformedError.
    """
    number = 0
    for position, byte in enumerate(data[at : at + _MOST_LENGTH_BYTES]):
        number |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return number, at + position + 1
    if len(data) >= at + _MOST_LENGTH_BYTES:
        raise MalformedError("a length of more than four bytes")
    return 0, 0
