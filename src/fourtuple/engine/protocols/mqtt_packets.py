"""Packets of MQTT 3.1.1 and MQTT 5 as records, and as bytes: those that clients and servers of QoS 0 and 1 send.

Numbers in parentheses are sections of MQTT Version 5.0 (OASIS, 2019); in MQTT 3.1.1 a packet has neither properties
nor, except for CONNACK and SUBACK, a reason code.
"""

import struct
from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum
from typing import TypeAlias

from fourtuple.core.record import dataclass

V3, V5 = 4, 5  # MQTT 3.1.1 and MQTT 5, as CONNECT has them
LARGEST_BYTES = 16 << 20  # of a packet that is taken in
MOST_TEXT_BYTES = 65_535  # of a text, and the largest packet identifier and keepalive: two bytes
_MOST_LENGTH_BYTES = 4
QOS_MASK, NO_LOCAL = 3, 4  # options of a topic filter: with the latter, a client gets nothing of its own back
_NAME, _OLD_NAME = "MQTT", "MQIsdp"  # the latter is of MQTT 3.1

Value: TypeAlias = int | str | bytes | tuple[str, str]
Properties: TypeAlias = Mapping[int, Value]


class PacketType(IntEnum):
    """The upper four bits of a packet (2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Property(IntEnum):
    """Properties that are used here (2.2.2.2)."""

    ASSIGNED_CLIENT_ID = 18
    SERVER_KEEP_ALIVE = 19
    SERVER_REFERENCE = 28
    REASON_STRING = 31
    MAXIMUM_QOS = 36
    RETAIN_AVAILABLE = 37
    SHARED_SUBSCRIPTION_AVAILABLE = 42


# What each property holds (2.2.2.2): the size of a number, "v" a number of one to four bytes, "s" text, "b" bytes, "p"
# two texts.
_HOLDS: dict[int, int | str] = {
    1: 1, 2: 4, 3: "s", 8: "s", 9: "b", 11: "v", 17: 4, 18: "s", 19: 2, 21: "s", 22: "b", 23: 1, 24: 4, 25: 1,
    26: "s", 28: "s", 31: "s", 33: 2, 34: 2, 35: 2, 36: 1, 37: 1, 38: "p", 39: 4, 40: 1, 41: 1, 42: 1,
}  # fmt: skip
_SEVERAL = {11, 38}  # properties that may come more than once
_FLAGS = {PacketType.PUBREL: 2, PacketType.SUBSCRIBE: 2, PacketType.UNSUBSCRIBE: 2}  # the lower four bits; others: 0


def number_in(properties: Properties, name: Property) -> int | None:
    """A property that is a number; None: it is not there."""
    value = properties.get(name)
    return value if isinstance(value, int) else None


def text_in(properties: Properties, name: Property) -> str:
    """A property that is text; empty: it is not there."""
    value = properties.get(name)
    return value if isinstance(value, str) else ""


class MalformedError(Exception):
    """What came is no packet of MQTT; its text says why."""


@dataclass(frozen=True, slots=True)
class Connect:
    """CONNECT. A version that is neither 4 nor 5 has nothing else; that of MQTT 3.1 is 0. A will is not kept."""

    version: int
    client_id: str = ""
    keepalive_s: int = 0
    clean: bool = True
    user: str | None = None
    password: bytes | None = None

    def data(self) -> bytes:
        flags = self.clean << 1 | (self.password is not None) << 6 | (self.user is not None) << 7
        body = _text(_NAME) + struct.pack("!BBH", self.version, flags, self.keepalive_s)
        body += _properties({}, self.version) + _text(self.client_id)
        body += b"" if self.user is None else _text(self.user)
        body += b"" if self.password is None else _binary(self.password)
        return _packet(PacketType.CONNECT, body)


@dataclass(frozen=True, slots=True)
class ConnAck:
    """CONNACK."""

    code: int
    present: bool = False
    properties: Properties = field(default_factory=dict)

    def data(self, version: int) -> bytes:
        return _packet(PacketType.CONNACK, bytes((self.present, self.code)) + _properties(self.properties, version))


@dataclass(frozen=True, slots=True)
class Publish:
    """PUBLISH.

    packet_id: 0 with QoS 0
    """

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    retained: bool = False

    def data(self, version: int) -> bytes:
        body = _text(self.topic) + (struct.pack("!H", self.packet_id) if self.qos else b"")
        flags = self.qos << 1 | self.retained
        return _packet(PacketType.PUBLISH, body + _properties({}, version) + self.payload, flags)


@dataclass(frozen=True, slots=True)
class PubAck:
    """PUBACK."""

    packet_id: int
    code: int = 0

    def data(self, version: int) -> bytes:
        body = struct.pack("!H", self.packet_id)
        return _packet(PacketType.PUBACK, body + (bytes((self.code,)) if self.code and version == V5 else b""))


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE, with the options of each topic filter: its QoS, and in MQTT 5 flags such as NO_LOCAL (3.8.3.1)."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]

    def data(self, version: int) -> bytes:
        body = struct.pack("!H", self.packet_id) + _properties({}, version)
        return _packet(
            PacketType.SUBSCRIBE, body + b"".join(_text(name) + bytes((each,)) for name, each in self.filters)
        )


@dataclass(frozen=True, slots=True)
class SubAck:
    """SUBACK, with a code for each topic filter: the QoS that was granted, or why none was."""

    packet_id: int
    codes: tuple[int, ...]

    def data(self, version: int) -> bytes:
        body = struct.pack("!H", self.packet_id) + _properties({}, version)
        return _packet(PacketType.SUBACK, body + bytes(self.codes))


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """UNSUBSCRIBE."""

    packet_id: int
    filters: tuple[str, ...]

    def data(self, version: int) -> bytes:
        body = struct.pack("!H", self.packet_id) + _properties({}, version)
        return _packet(PacketType.UNSUBSCRIBE, body + b"".join(map(_text, self.filters)))


@dataclass(frozen=True, slots=True)
class UnsubAck:
    """UNSUBACK, with a code for each topic filter; MQTT 3.1.1 has none."""

    packet_id: int
    codes: tuple[int, ...] = ()

    def data(self, version: int) -> bytes:
        body = struct.pack("!H", self.packet_id) + _properties({}, version)
        return _packet(PacketType.UNSUBACK, body + (bytes(self.codes) if version == V5 else b""))


@dataclass(frozen=True, slots=True)
class Disconnect:
    """DISCONNECT."""

    code: int = 0
    properties: Properties = field(default_factory=dict)

    def data(self, version: int) -> bytes:
        if version != V5 or not (self.code or self.properties):
            return _packet(PacketType.DISCONNECT, b"")
        properties = _properties(self.properties, version) if self.properties else b""
        return _packet(PacketType.DISCONNECT, bytes((self.code,)) + properties)


@dataclass(frozen=True, slots=True)
class OtherPacket:
    """A packet of which only its type matters here."""

    type: PacketType

    def data(self, version: int) -> bytes:
        return _packet(self.type, b"")


Packet: TypeAlias = (
    Connect | ConnAck | Publish | PubAck | Subscribe | SubAck | Unsubscribe | UnsubAck | Disconnect | OtherPacket
)
PINGREQ, PINGRESP = OtherPacket(PacketType.PINGREQ), OtherPacket(PacketType.PINGRESP)


def name_of(packet: Packet) -> str:
    """`CONNACK`, as the specification has it."""
    return packet.type.name if isinstance(packet, OtherPacket) else type(packet).__name__.upper()


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
    if packet_type is not PacketType.PUBLISH and flags != _FLAGS.get(packet_type, 0):
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
        return int.from_bytes(self.take(size))

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
            if name not in _HOLDS:
                raise MalformedError("a property that does not exist")
            if name in found and name not in _SEVERAL:
                raise MalformedError("a property that is there twice")
            found[name] = self._value(_HOLDS[name])
        if self._at != end:
            raise MalformedError("properties of another length than they say")
        return found

    def connect(self) -> Connect:
        name, version = self.text(), self.number(1)
        if name not in (_NAME, _OLD_NAME):
            raise MalformedError("CONNECT of another protocol")
        if name == _OLD_NAME or version not in (V3, V5):
            self._at = len(self._data)
            return Connect(0 if name == _OLD_NAME else version)
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


def _variable(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*made, number))


def _text(text: str) -> bytes:
    return _binary(text.encode())


def _binary(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _properties(properties: Properties, version: int) -> bytes:
    if version != V5:
        return b""
    made = b"".join(bytes((name,)) + _held(_HOLDS[name], value) for name, value in properties.items())
    return _variable(len(made)) + made


def _held(holds: int | str, value: Value) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(holds) if isinstance(holds, int) else _variable(value)
    if isinstance(value, tuple):
        return b"".join(map(_text, value))
    return _text(value) if isinstance(value, str) else _binary(value)


def _packet(packet_type: PacketType, body: bytes, flags: int = 0) -> bytes:
    return bytes((packet_type << 4 | _FLAGS.get(packet_type, flags),)) + _variable(len(body)) + body
