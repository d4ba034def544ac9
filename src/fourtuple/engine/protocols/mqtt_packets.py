"""Packets of MQTT 3.1.1 and MQTT 5 as records, and their bytes: those that clients and servers of QoS 0 and 1 send.

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
MOST_TEXT_BYTES = 65_535  # of a text, and the largest packet identifier and keepalive: two bytes
QOS_MASK, NO_LOCAL = 3, 4  # options of a topic filter: with the latter, a client gets nothing of its own back
NAME, OLD_NAME = "MQTT", "MQIsdp"  # the latter is of MQTT 3.1

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
HOLDS: dict[int, int | str] = {
    1: 1, 2: 4, 3: "s", 8: "s", 9: "b", 11: "v", 17: 4, 18: "s", 19: 2, 21: "s", 22: "b", 23: 1, 24: 4, 25: 1,
    26: "s", 28: "s", 31: "s", 33: 2, 34: 2, 35: 2, 36: 1, 37: 1, 38: "p", 39: 4, 40: 1, 41: 1, 42: 1,
}  # fmt: skip
FLAGS = {PacketType.PUBREL: 2, PacketType.SUBSCRIBE: 2, PacketType.UNSUBSCRIBE: 2}  # the lower four bits; others: 0


def number_in(properties: Properties, name: Property) -> int | None:
    """A property that is a number; None: it is not there."""
    value = properties.get(name)
    return value if isinstance(value, int) else None


def text_in(properties: Properties, name: Property) -> str:
    """A property that is text; empty: it is not there."""
    value = properties.get(name)
    return value if isinstance(value, str) else ""


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
        body = _text(NAME) + struct.pack("!BBH", self.version, flags, self.keepalive_s)
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
    made = b"".join(bytes((name,)) + _held(HOLDS[name], value) for name, value in properties.items())
    return _variable(len(made)) + made


def _held(holds: int | str, value: Value) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(holds, "big") if isinstance(holds, int) else _variable(value)
    if isinstance(value, tuple):
        return b"".join(map(_text, value))
    return _text(value) if isinstance(value, str) else _binary(value)


def _packet(packet_type: PacketType, body: bytes, flags: int = 0) -> bytes:
    return bytes((packet_type << 4 | FLAGS.get(packet_type, flags),)) + _variable(len(body)) + body
