"""MQTT sessions on plain bytes: connecting, subscribing, messages, every way to end, and whatever else a peer sends."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.session import MqttOptions
from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Session, Turn
from fourtuple.engine.protocols.mqtt import MqttClient, MqttNames
from fourtuple.engine.protocols.mqtt_packets import (
    NO_LOCAL,
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
from fourtuple.engine.protocols.mqtt_reading import PacketReader
from fourtuple.engine.protocols.mqtt_server import MqttServer, matches
from tests.engine.protocols.pieces import cuts, heard

BOTH = pytest.mark.parametrize("version", [V3, V5])


def client(
    version: int = V5,
    *,
    filters: tuple[str, ...] = (),
    expected: Callable[[bytes], bool] | None = None,
    **options: object,
) -> MqttClient:
    names = MqttNames(lambda number, source: f"c{number}", lambda number: f"t/{number}", lambda number: filters)
    return MqttClient(MqttOptions(version=version, **options), names, expected=expected)  # type: ignore[arg-type]


def failed(reason: str, *, by_peer: bool = False) -> Failure:
    return Failure(FailureKind.MQTT, reason, by_peer)


def packets(data: bytes, version: int) -> list[Packet]:
    """What was sent."""
    reader = PacketReader(version)
    reader.receive(data)
    found = []
    while (packet := reader.next()) is not None:
        found.append(packet)
    return found


def connected(version: int) -> Session:
    """A session of the server whose client has connected."""
    session = MqttServer().make(0, "")
    assert packets(session.received(Connect(version, "a").data()).send, version)
    return session


@BOTH
def test_the_first_packet_says_who_it_is(version: int) -> None:
    kind = client(version, user="u", password="p", keepalive_s=30)  # noqa: S106
    data = kind.make(7, "127.0.0.1:5000").begin().send

    assert packets(data, 0) == [Connect(version, "c7", 30, True, "u", b"p")]


@BOTH
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("filters", [(), ("t/+",)])
def test_client_and_server_understand_each_other_wherever_data_is_cut(
    version: int, qos: int, filters: tuple[str, ...]
) -> None:
    """Until the client is ready, and for a message and a ping."""
    kind = client(version, qos=qos, filters=filters)
    for cut in (lambda data: (data,), lambda data: (data[:1], data[1:]), lambda data: tuple(cuts(data))[-1]):
        session, server = kind.make(3, ""), MqttServer().make(3, "")
        turn, ready = session.begin(), False
        while turn.send:
            turn = heard(session, cut(heard(server, cut(turn.send)).send))
            ready |= turn.ready
            assert turn.failed is None
        assert ready
        assert session.idle

        turn = heard(session, cut(heard(server, cut(session.say(b"hello").send)).send or b"\xd0\0"))
        assert (turn.answers, turn.wrong, turn.failed) == (int(kind.arrivals_answer or kind.options.qos), 0, None)
        assert heard(session, cut(server.received(kind.beat(session).send).send)) == Turn()
        assert session.idle
        assert server.received(session.goodbye()).failed == failed(
            "disconnected: normal disconnection (0)", by_peer=True
        )


def test_what_answers_a_message() -> None:
    """PUBACK with QoS 1; with QoS 0 what arrives, if it subscribes; what arrives, too, if it is to say something.

    With QoS 0 an answer is missed only if it is to say something.
    """
    arrives, acknowledged = Publish("a", b"x").data(V5), PubAck(1).data(V5)

    def answered(kind: MqttClient) -> tuple[Answers, int]:
        session = kind.resume(0)
        session.say(b"x")
        return kind.answers, heard(session, [*([acknowledged] if kind.options.qos else []), arrives]).answers

    assert answered(client()) == (Answers.NONE, 0)
    assert answered(client(filters=("#",))) == (Answers.ANY, 1)
    assert answered(client(qos=1)) == (Answers.EACH, 1)
    assert answered(client(qos=1, filters=("#",))) == (Answers.EACH, 1)
    assert answered(client(qos=1, filters=("#",), expected=lambda payload: payload == b"x")) == (Answers.EACH, 1)
    assert answered(client(qos=1, filters=("#",), expected=lambda payload: payload == b"y")) == (Answers.EACH, 0)


def test_other_messages_than_the_expected_ones_are_counted_apart() -> None:
    session = client(filters=("#",), expected=lambda payload: payload == b"x").resume(0)

    assert session.received(Publish("a", b"x").data(V5) + Publish("a", b"y").data(V5)) == Turn(answers=1, wrong=1)


def test_what_a_server_has_retained_is_no_answer() -> None:
    assert client(filters=("#",)).resume(0).received(Publish("a", b"x", retained=True).data(V5)) == Turn()


@BOTH
def test_messages_that_arrive_are_acknowledged(version: int) -> None:
    turn = client(version, qos=1, filters=("#",)).resume(0).received(Publish("a", b"x", 1, 700).data(version))

    assert turn == Turn(PubAck(700).data(version))


def test_each_message_in_flight_has_a_number_of_its_own() -> None:
    """The session is not idle before all are acknowledged; then a new one may begin at 1 again."""
    kind = client(qos=1)
    session = kind.resume(0)
    sent = packets(b"".join(session.say(b"x").send for _ in range(3)), V5)

    assert [packet.packet_id for packet in sent if isinstance(packet, Publish)] == [1, 2, 3]
    for number, idle in ((2, False), (1, False), (3, True)):
        assert session.received(PubAck(number).data(V5)) == Turn(answers=1)
        assert session.idle == idle
    assert packets(kind.resume(0).say(b"x").send, V5) == [Publish("t/0", b"x", 1, 1)]


def test_numbers_of_messages_begin_again_at_1() -> None:
    session = client(qos=1).resume(0)
    for number in range(1, 65_536):
        session.say(b"")
        assert session.received(PubAck(number).data(V5)).answers == 1

    assert packets(session.say(b"").send, V5) == [Publish("t/0", b"", 1, 1)]


def test_an_answer_before_anything_was_published_is_out_of_place() -> None:
    session = client(filters=("a",)).make(0, "")
    session.received(ConnAck(0).data(V5))

    assert session.received(PubAck(1).data(V5)).failed == failed("PUBACK out of place")


@pytest.mark.parametrize(
    ("packet", "because"),
    [
        (PubAck(1, 135), "mqtt: message refused: not authorized (135)"),
        (PubAck(1, 151), "mqtt: message refused: quota exceeded (151)"),
        (PubAck(2), "mqtt: PUBACK for a message that was not sent"),
    ],
)
def test_a_refused_message_and_an_answer_to_none_are_wrong(packet: PubAck, because: str) -> None:
    """Also an answer that comes twice. The session goes on."""
    session = client(qos=1).resume(0)
    session.say(b"x")
    turn = session.received(packet.data(V5))

    assert (turn, turn.because) == (Turn(wrong=1), because)


def test_a_message_that_nobody_gets_is_answered_nevertheless() -> None:
    session = client(qos=1).resume(0)
    session.say(b"x")

    assert session.received(PubAck(1, 16).data(V5)) == Turn(answers=1)


@pytest.mark.parametrize(
    ("version", "packet", "reason"),
    [
        (V3, ConnAck(1), "refused: unacceptable protocol version (1)"),
        (V3, ConnAck(5), "refused: not authorized (5)"),
        (V3, ConnAck(77), "refused: unknown reason (77)"),
        (V5, ConnAck(135), "refused: not authorized (135)"),
        (V5, ConnAck(151), "refused: quota exceeded (151)"),
        (V5, ConnAck(134, False, {31: "no such user"}), "refused: bad user name or password (134): no such user"),
        (V5, ConnAck(137, False, {31: "user 8f3 has to wait"}), "refused: server busy (137): user … has to wait"),
        (V5, ConnAck(156, False, {28: "b2.example:1883"}), "refused: use another server (156): b2.example:1883"),
        (V5, ConnAck(0, False, {36: 0}), "the server takes messages with QoS 0 only"),
    ],
)  # fmt: skip
def test_refusals_have_words(version: int, packet: ConnAck, reason: str) -> None:
    session = client(version, qos=1).make(0, "")
    turn = session.received(packet.data(version))

    assert turn.failed == failed(reason)
    assert not session.idle
    assert session.received(b"x") == NOTHING
    assert session.goodbye() == b""


@pytest.mark.parametrize(("version", "code", "words"), [(V3, 128, "failure (128)"), (V5, 135, "not authorized (135)")])
def test_a_refused_subscription_is_a_failure(version: int, code: int, words: str) -> None:
    session = client(version, filters=("a", "b")).make(0, "")
    turn = session.received(ConnAck(0).data(version))
    assert packets(turn.send, version) == [Subscribe(1, (("a", 0), ("b", 0)))]

    turn = session.received(SubAck(1, (0, code)).data(version))
    assert turn == Turn(b"\xe0\0", failed=failed(f"subscription refused: {words}"))


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (Disconnect(142), "session taken over (142)"),
        (Disconnect(141), "keep alive timeout (141)"),
        (Disconnect(139, {31: "upgrade"}), "server shutting down (139): upgrade"),
        (Disconnect(157, {28: "b2"}), "server moved (157): b2"),
        (Disconnect(), "normal disconnection (0)"),
        (Disconnect(200), "unknown reason (200)"),
    ],
)
def test_the_server_says_why_it_disconnects(packet: Disconnect, reason: str) -> None:
    turn = client().resume(0).received(packet.data(V5))

    assert turn == Turn(failed=failed(f"disconnected: {reason}", by_peer=True))


def test_the_server_can_want_another_keepalive() -> None:
    """A shorter one counts for the whole run; 0 is none."""
    kind = client(keepalive_s=60)
    kind.make(0, "").received(ConnAck(0, False, {Property.SERVER_KEEP_ALIVE: 10}).data(V5))
    kind.make(1, "").received(ConnAck(0, False, {Property.SERVER_KEEP_ALIVE: 0}).data(V5))

    assert kind.keepalive_s == 10
    assert client(keepalive_s=0).keepalive_s == math.inf


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed before CONNACK"),
        (ConnAck(0).data(V5)[:3], "closed in the middle of a packet"),
        (ConnAck(0).data(V5), "closed before SUBACK"),
        (ConnAck(0).data(V5) + SubAck(1, (0,)).data(V5), "closed without DISCONNECT"),
        (ConnAck(0).data(V5) + SubAck(1, (0,)).data(V5) + b"\xd0", "closed in the middle of a packet"),
    ],
)
def test_a_server_that_stops_is_told_by_where_it_stopped(data: bytes, reason: str) -> None:
    session = client(filters=("a",)).make(0, "")

    assert heard(session, [data, b""] if data else [b""]).failed == failed(reason)


def test_a_server_of_mqtt_3_can_only_close() -> None:
    session = client(V3, qos=1).resume(0)
    session.say(b"x")

    assert session.received(b"").failed == failed("closed; MQTT 3.1.1 has no reasons", by_peer=True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", 'not MQTT: "HTTP/1.1"'),
        (b"\x15\3\1\0\2\2\x28", "not MQTT but TLS"),
        (b"\xd0\0", "not MQTT"),
    ],
)
def test_a_server_of_another_protocol_is_named(data: bytes, reason: str) -> None:
    assert client().make(0, "").received(data).failed == failed(reason)


@BOTH
@pytest.mark.parametrize(
    ("data", "reason", "code"),
    [
        (ConnAck(0), "CONNACK out of place", 130),
        (SubAck(1, (0,)), "SUBACK out of place", 130),
        (PINGREQ, "PINGREQ out of place", 130),
        (OtherPacket(PacketType.PUBREC), "PUBREC out of place", 130),
        (Publish("a", b"", 2, 1), "a message with QoS 2, which was not asked for", 130),
        (b"\x00\0", "malformed: a packet of no type", 129),
        (b"\xd1\0", "malformed: PINGRESP with other flags than it has to have", 129),
    ],
)
def test_what_is_broken_is_named(version: int, data: ConnAck | bytes, reason: str, code: int) -> None:
    """In MQTT 5 the server is told, too."""
    turn = client(version).resume(0).received(data if isinstance(data, bytes) else data.data(version))

    assert turn == Turn(Disconnect(code).data(V5) if version == V5 else b"", failed=failed(reason))


def test_a_disconnect_of_a_server_of_mqtt_3_is_out_of_place() -> None:
    assert client(V3).resume(0).received(b"\xe0\0").failed == failed("DISCONNECT out of place")


@pytest.mark.parametrize(
    "options",
    [
        {"user": "\0"},
        {"user": "\udcff"},
        {"user": "x" * 65_536},
        {"keepalive_s": 65_536},
        {"version": V3, "password": "x"},
        {"filters": ("\0",)},
    ],
)
def test_what_no_packet_can_hold_is_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        client(**options)  # type: ignore[arg-type]


@BOTH
def test_the_server_answers_each_request(version: int) -> None:
    session = connected(version)

    def reply(packet: Packet) -> list[Packet]:
        assert not isinstance(packet, Connect)
        return packets(session.received(packet.data(version)).send, version)

    assert reply(PINGREQ) == [PINGRESP]
    assert reply(Publish("a/b", b"x")) == []
    assert reply(Subscribe(5, (("a/+", 2), ("c", 0)))) == [SubAck(5, (1, 0))]
    assert reply(Publish("a/b", b"x")) == [Publish("a/b", b"x")]
    assert reply(Publish("a/b", b"x", 1, 9)) == [PubAck(9), Publish("a/b", b"x", 1, 2)]
    assert reply(Publish("c", b"x", 1, 10)) == [PubAck(10), Publish("c", b"x")]
    assert reply(PubAck(2)) == []
    assert reply(Subscribe(7, (("a/b", 1),))) == [SubAck(7, (1,))]
    assert reply(Publish("a/b", b"x", 1, 12)) == [PubAck(12), Publish("a/b", b"x", 1, 4)]
    assert reply(Subscribe(8, (("a/b", 1 | NO_LOCAL), ("a/+", 1 | NO_LOCAL)))) == [SubAck(8, (1, 1))]
    assert reply(Publish("a/b", b"x", 1, 13)) == [PubAck(13)]
    assert reply(Unsubscribe(6, ("a/+", "z"))) == [UnsubAck(6, (0, 17) if version == V5 else ())]
    assert reply(Publish("a/b", b"x", 1, 11)) == [PubAck(11)]


def test_the_server_tells_a_client_of_mqtt_5_its_limits_and_its_name() -> None:
    turn = MqttServer().make(4, "").received(Connect(V5, "").data())

    assert packets(turn.send, V5) == [ConnAck(0, False, {36: 1, 37: 0, 42: 0, 18: "client-4"})]


@pytest.mark.parametrize(
    ("data", "send", "reason"),
    [
        (b"\x10\x0c\0\6MQIsdp\3\2\0\x0a", b"\x20\2\0\1", "neither MQTT 3.1.1 nor MQTT 5"),
        (b"\x10\x07\0\4MQTT\6", b"\x20\3\0\x84\0", "neither MQTT 3.1.1 nor MQTT 5"),
        (b"GET / HTTP/1.1\r\n\r\n", b"", 'not MQTT: "GET"'),
        (b"\x16\3\1\0\xf4", b"", "not MQTT but TLS"),
        (b"", b"", "closed before CONNECT"),
    ],
)
def test_the_server_refuses_other_protocols(data: bytes, send: bytes, reason: str) -> None:
    assert MqttServer().make(0, "").received(data) == Turn(send, failed=failed(reason))


@BOTH
@pytest.mark.parametrize(
    ("packet", "reason", "code"),
    [
        (Publish("a", b"", 2, 1), "a message with QoS 2, which this server has not", 155),
        (Publish("", b""), "a message without a topic", 130),
        (ConnAck(0), "CONNACK out of place", 130),
        (PINGRESP, "PINGRESP out of place", 130),
    ],
)
def test_the_server_names_what_is_broken(version: int, packet: Publish, reason: str, code: int) -> None:
    turn = connected(version).received(packet.data(version))

    assert turn == Turn(Disconnect(code).data(V5) if version == V5 else b"", failed=failed(reason))


def test_a_second_connect_is_out_of_place() -> None:
    assert connected(V5).received(Connect(V5, "a").data()).failed == failed("CONNECT out of place")


def test_the_server_says_goodbye_where_it_may() -> None:
    assert connected(V5).goodbye() == b"\xe0\0"
    assert connected(V3).goodbye() == b""
    assert MqttServer().make(0, "").goodbye() == b""
    over = connected(V5)
    over.received(b"")
    assert over.goodbye() == b""


@pytest.mark.parametrize(
    ("name", "topic", "same"),
    [
        ("a", "a", True), ("a", "b", False), ("a/b", "a", False), ("+", "a", True), ("+", "a/b", False),
        ("+/+", "/a", True),
        ("a/+/c", "a/b/c", True), ("#", "a/b", True), ("a/#", "a", True), ("a/#", "a/b/c", True), ("a/#", "b", False),
        ("#", "$SYS/a", False), ("+/a", "$SYS/a", False), ("$SYS/#", "$SYS/a", True),
    ],
)  # fmt: skip
def test_filters_match_as_the_specification_says(name: str, topic: str, same: bool) -> None:
    """MQTT 5, 4.7."""

    assert matches(name, topic) is same


KINDS: list[Callable[[], Session]] = [
    lambda: client().make(0, ""),
    lambda: client(V3, qos=1).make(0, ""),
    lambda: client().resume(0),
    lambda: client(V3, filters=("a",)).resume(0),
    lambda: MqttServer().make(0, ""),
    lambda: connected(V3),
    lambda: connected(V5),
]
GOOD = [
    ConnAck(0).data(V5), ConnAck(0).data(V3), SubAck(1, (0,)).data(V5), Publish("a", b"x", 1, 4).data(V5),
    PubAck(1).data(V3), PINGREQ.data(V3), PINGRESP.data(V3), Disconnect(142).data(V5), Connect(V5, "a").data(),
]  # fmt: skip


@given(st.sampled_from(KINDS), st.lists(st.binary(max_size=12) | st.sampled_from(GOOD), max_size=6))
def test_whatever_comes_nothing_is_raised(make: Callable[[], Session], pieces: list[bytes]) -> None:
    session = make()
    session.begin()
    session.say(b"x")
    turn = heard(session, [*pieces, b""])

    assert turn.failed
    assert turn.failed.reason.isprintable()
