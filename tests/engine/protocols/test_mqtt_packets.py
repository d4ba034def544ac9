"""Packets of MQTT as bytes: those of the specification, back and forth, cut anywhere, and whatever else comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.engine.protocols.mqtt_packets import (
    PINGREQ,
    PINGRESP,
    V3,
    V5,
    ConnAck,
    Connect,
    Disconnect,
    OtherPacket,
    Packet,
    PacketType,
    Property,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from fourtuple.engine.protocols.mqtt_reading import LARGEST_BYTES, MalformedError, PacketReader
from tests.engine.protocols.pieces import cuts

VERSIONS = st.sampled_from([V3, V5])
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
IDS = st.integers(1, 65_535)
QOS = st.integers(0, 1)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        1: st.integers(0, 255), 2: st.integers(0, 2**32 - 1), 9: st.binary(max_size=9), 11: st.integers(0, 268_435_455),
        19: IDS, 31: TEXTS, 38: st.tuples(TEXTS, TEXTS),
    },
)  # fmt: skip
PACKETS = st.one_of(
    st.builds(ConnAck, st.integers(0, 255), st.booleans(), PROPERTIES),
    st.builds(Publish, TEXTS, st.binary(max_size=200), st.just(0), st.just(0), st.booleans()),
    st.builds(Publish, TEXTS, st.binary(max_size=200), st.integers(1, 2), IDS, st.booleans()),
    st.builds(PubAck, IDS, st.integers(0, 255)),
    st.builds(Subscribe, IDS, st.lists(st.tuples(TEXTS, QOS), min_size=1, max_size=4).map(tuple)),
    st.builds(SubAck, IDS, st.lists(st.integers(0, 255), min_size=1, max_size=4).map(tuple)),
    st.builds(Unsubscribe, IDS, st.lists(TEXTS, min_size=1, max_size=4).map(tuple)),
    st.builds(UnsubAck, IDS, st.lists(st.integers(0, 255), min_size=1, max_size=4).map(tuple)),
    st.builds(Disconnect, st.integers(0, 255), PROPERTIES),
    st.sampled_from([PINGREQ, PINGRESP]),
)
CONNECTS = st.builds(
    Connect,
    VERSIONS,
    TEXTS,
    st.integers(0, 65_535),
    st.booleans(),
    st.none() | TEXTS,
    st.none() | st.binary(max_size=9),
)


def read(data: bytes, version: int) -> list[Packet]:
    reader = PacketReader(version)
    reader.receive(data)
    found = []
    while (packet := reader.next()) is not None:
        found.append(packet)
    assert not reader.partial
    return found


def plain(packet: Packet) -> Packet:
    """What is left of a packet in MQTT 3.1.1."""
    match packet:
        case ConnAck():
            return ConnAck(packet.code, packet.present)
        case PubAck():
            return PubAck(packet.packet_id)
        case UnsubAck():
            return UnsubAck(packet.packet_id)
        case Disconnect():
            return Disconnect()
    return packet


@given(PACKETS, VERSIONS)
def test_reading_undoes_writing(packet: Packet, version: int) -> None:
    """In MQTT 3.1.1 without what only MQTT 5 has."""
    assert not isinstance(packet, Connect)
    data = packet.data(version)

    assert read(data, version) == [packet if version == V5 else plain(packet)]


@given(CONNECTS)
def test_reading_undoes_writing_of_connect(packet: Connect) -> None:
    """Its version is in it."""

    assert read(packet.data(), 0) == [packet]


@pytest.mark.parametrize(
    ("data", "version", "packet"),
    [
        # MQTT 3.1.1, figures 2.x and 3.x; MQTT 5, 3.1.2 to 3.14
        (b"\x10\x0d\0\4MQTT\4\2\0\x0a\0\1a", V3, Connect(V3, "a", 10)),
        (b"\x10\x11\0\4MQTT\5\2\0\x0a\3\x21\0\x14\0\1a", V5, Connect(V5, "a", 10)),
        (b"\x10\x1c\0\4MQTT\4\xc6\0\x0a\0\1a\0\1w\0\3bye\0\1u\0\2pw", V3, Connect(V3, "a", 10, True, "u", b"pw")),
        (b"\x20\2\1\0", V3, ConnAck(0, True)),
        (b"\x20\2\0\5", V3, ConnAck(5)),
        (b"\x20\6\0\0\3\x13\0\x1e", V5, ConnAck(0, False, {Property.SERVER_KEEP_ALIVE: 30})),
        (b"\x20\x11\0\0\x0e\x26\0\1a\0\1b\x26\0\1c\0\1d", V5, ConnAck(0, False, {38: ("c", "d")})),
        (b"\x32\7\0\3a/b\0\x0a", V3, Publish("a/b", b"", 1, 10)),
        (b"\x3b\7\0\3a/b\0\x0a", V3, Publish("a/b", b"", 1, 10, retained=True)),
        (b"\x30\7\0\3a/b\0x", V5, Publish("a/b", b"x")),
        (b"\x40\2\0\1", V5, PubAck(1)),
        (b"\x40\3\0\1\x87", V5, PubAck(1, 0x87)),
        (b"\x40\4\0\1\x10\0", V5, PubAck(1, 16)),
        (b"\x82\x0e\0\x0a\0\3a/b\1\0\3c/d\2", V3, Subscribe(10, (("a/b", 1), ("c/d", 2)))),
        (b"\x90\5\0\x0a\0\2\x80", V3, SubAck(10, (0, 2, 0x80))),
        (b"\xa2\7\0\1\0\3a/b", V3, Unsubscribe(1, ("a/b",))),
        (b"\xb0\2\0\1", V3, UnsubAck(1)),
        (b"\xc0\0", V3, PINGREQ),
        (b"\xd0\0", V3, PINGRESP),
        (b"\xe0\0", V5, Disconnect()),
        (b"\xe0\1\x8e", V5, Disconnect(142)),
        (b"\xe0\7\x9d\5\x1c\0\2b2", V5, Disconnect(157, {Property.SERVER_REFERENCE: "b2"})),
        (b"\xf0\0", V5, OtherPacket(PacketType.AUTH)),
        (b"\x10\x0c\0\6MQIsdp\3\2\0\x0a", V3, Connect(0)),
        (b"\x10\x07\0\4MQTT\6", V3, Connect(6)),
    ],
)
def test_packets_of_others_are_read(data: bytes, version: int, packet: Packet) -> None:
    """Also in pieces."""
    for pieces in cuts(data):
        reader = PacketReader(version)
        found = []
        for piece in pieces:
            reader.receive(piece)
            found.append(reader.next())
        assert found == [*[None] * (len(pieces) - 1), packet]


@pytest.mark.parametrize(
    ("length", "size"), [(127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_151, 3), (2_097_152, 4)]
)
def test_lengths_take_as_few_bytes_as_they_need(length: int, size: int) -> None:
    """MQTT 5, table 1-1."""
    packet = Publish("a", bytes(length - 3))
    data = packet.data(V3)

    assert len(data) == 1 + size + length
    assert read(data, V3) == [packet]


@pytest.mark.parametrize(
    ("data", "version", "reason"),
    [
        (b"\x00\0", V5, "a packet of no type"),
        (b"\x80\0", V5, "SUBSCRIBE with other flags than it has to have"),
        (b"\xc1\0", V5, "PINGREQ with other flags than it has to have"),
        (b"\xc0\1a", V5, "PINGREQ with more than it has to have"),
        (b"\x20\3\0\0\0", V3, "CONNACK with more than it has to have"),
        (b"\x20\2\0\0", V5, "a packet that is too short for what is in it"),
        (b"\x20\1\0", V3, "a packet that is too short for what is in it"),
        (b"\x20\5\0\0\1\x7f\0", V5, "a property that does not exist"),
        (b"\x20\x07\0\0\4\x24\1\x24\1", V5, "a property that is there twice"),
        (b"\x20\5\0\0\1\x13\0", V5, "a packet that is too short for what is in it"),
        (b"\x20\6\0\0\2\x13\0\1", V5, "properties of another length than they say"),
        (b"\x36\5\0\1a\0\1", V5, "a message with QoS 3"),
        (b"\x32\5\0\1a\0\0", V3, "a packet identifier that is zero"),
        (b"\x30\3\0\1\xff", V3, "text that is not UTF-8"),
        (b"\x30\3\0\1\0", V3, "text with a null character"),
        (b"\x30\3\0\5a", V3, "a packet that is too short for what is in it"),
        (b"\x90\2\0\1", V3, "a packet that is too short for what is in it"),
        (b"\x82\2\0\1", V3, "a packet that is too short for what is in it"),
        (b"\x10\x0c\0\4MQTT\4\3\0\x0a\0\0", V3, "CONNECT with a reserved flag"),
        (b"\x10\x07\0\4HTTP\4", V3, "CONNECT of another protocol"),
        (b"\x30\xff\xff\xff\xff", V5, "a length of more than four bytes"),
        (b"\x30\xff\xff\xff\x7f", V5, "a packet larger than 16 MiB"),
        (b"\x30\x81\x80\x80\x08", V5, "a packet larger than 16 MiB"),
    ],
)
def test_what_is_no_packet_is_named(data: bytes, version: int, reason: str) -> None:
    reader = PacketReader(version)
    reader.receive(data)

    with pytest.raises(MalformedError, match=reason):
        reader.next()


def test_a_packet_of_the_largest_size_is_read() -> None:
    assert read(Publish("a", bytes(LARGEST_BYTES - 3)).data(V3), V3)


@given(st.binary(max_size=60), st.sampled_from([0, V3, V5]))
def test_any_bytes_are_packets_or_malformed(data: bytes, version: int) -> None:
    try:
        read(data + bytes((0xD0, 0)), version)
    except (MalformedError, AssertionError):  # no packet, or a part of one at the end
        return


@given(PACKETS | CONNECTS, VERSIONS, st.data())
def test_any_change_of_a_packet_is_a_packet_or_malformed(packet: Packet, version: int, data: st.DataObject) -> None:
    whole = packet.data() if isinstance(packet, Connect) else packet.data(version)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + data.draw(st.binary(max_size=2)) + whole[at + 1 :]
    try:
        read(changed, version)
    except (MalformedError, AssertionError):
        return
