"""MQTT sessions against mosquitto: our clients at it, and its bridge, which is a client, at our server."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fourtuple.core.talk.session import MqttOptions
from fourtuple.engine.protocols.contract import Failure, FailureKind
from fourtuple.engine.protocols.mqtt import MqttClient, MqttNames
from fourtuple.engine.protocols.mqtt_packets import V3, V5, Publish
from fourtuple.engine.protocols.mqtt_server import MqttServer
from tests.engine.protocols.answering import answering
from tests.engine.protocols.driver import Driver
from tests.engine.protocols.mosquitto import Broker, mosquitto, password_file
from tests.waiting import wait_until

BOTH = pytest.mark.parametrize("version", [V3, V5])


def client(
    version: int, *, filters: tuple[str, ...] = (), name: str = "", topic: str = "", **options: object
) -> MqttClient:
    names = MqttNames(
        lambda number, source: name or f"c{number}", lambda number: topic or f"t/{number}", lambda number: filters
    )
    return MqttClient(MqttOptions(version=version, **options), names)  # type: ignore[arg-type]


def opened(broker: Broker, kind: MqttClient, number: int = 0) -> Driver:
    """A connection that is ready."""
    one = Driver(broker.address, kind.make(number, ""))
    one.until(lambda turn: turn.ready)
    assert one.session.idle
    return one


def refused(broker: Broker, kind: MqttClient) -> str:
    """Why the broker takes no connection."""
    with Driver(broker.address, kind.make(0, "")) as one:
        failure = one.until(lambda turn: turn.failed).failed
    assert failure is not None
    return failure.reason


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with small limits, for every test that needs no others."""
    folder = tmp_path_factory.mktemp("broker")
    (folder / "acl").write_text("topic readwrite t/#\n")
    settings = f"acl_file {folder / 'acl'}", "message_size_limit 200000", "max_keepalive 600"
    with mosquitto(folder, *settings) as running:
        yield running


@BOTH
def test_a_message_is_answered_by_puback(broker: Broker, version: int) -> None:
    """One after another, several at once, and one that is large; the session is idle again after each."""
    kind = client(version, qos=1)
    with opened(broker, kind) as one:
        for message in (b"", b"hello", b"x" * 100_000):
            one.say(message)
            assert not one.session.idle
            assert one.until(lambda turn: turn.answers).answers == 1
            assert one.session.idle
            one.session = kind.resume(0)
        for _ in range(5):
            one.say(b"x")
        while not one.session.idle:
            one.receive()
    assert sum(turn.answers for turn in one.turns) == 8


@BOTH
@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_comes_back_to_a_client_that_subscribes(broker: Broker, version: int, qos: int) -> None:
    """With QoS 1 it is acknowledged, and the broker is content; the answer is PUBACK then."""
    kind = client(version, qos=qos, filters=("t/back",), topic="t/back")
    with opened(broker, kind) as one:
        for _ in range(30):  # more than the 20 that mosquitto sends without PUBACK
            one.say(b"x" * 10_000)
            one.until(lambda turn: turn.answers)
    assert sum(turn.answers for turn in one.turns) == 30
    assert sum(turn.wrong for turn in one.turns) == 0


@BOTH
def test_what_is_retained_is_no_answer(broker: Broker, version: int) -> None:
    topic = f"t/retained/{version}"
    with opened(broker, client(version)) as one:
        one.socket.sendall(Publish(topic, b"x", retained=True).data(version))
        assert wait_until(lambda: broker.logged(f"'{topic}'"))
    kind = client(version, filters=("t/retained/#",), topic="t/retained/0")
    with opened(broker, kind) as one:
        one.say(b"y")
        one.until(lambda turn: turn.answers)
    assert sum(turn.answers for turn in one.turns) == 1


@BOTH
def test_a_beat_is_answered(broker: Broker, version: int) -> None:
    kind = client(version)
    with opened(broker, kind) as one:
        one.take(kind.beat(one.session))
        assert one.socket.recv(100) == b"\xd0\0"


@BOTH
def test_goodbye_is_a_proper_end(broker: Broker, version: int) -> None:
    with opened(broker, client(version, name=f"leaves{version}")) as one:
        one.socket.sendall(one.session.goodbye())
        assert one.socket.recv(100) == b""
    assert wait_until(lambda: broker.logged(f"Client leaves{version} disconnected."))


@pytest.mark.parametrize(
    ("version", "reasons"),
    [
        (V3, {"closed; MQTT 3.1.1 has no reasons"}),
        (V5, {"closed without DISCONNECT", "disconnected: session taken over (142)"}),
    ],
)
def test_a_session_that_is_taken_over(broker: Broker, version: int, reasons: set[str]) -> None:
    """mosquitto 2.0 closes the connection without a word."""
    kind = client(version, name="same")
    with opened(broker, kind) as one, opened(broker, kind):
        failure = one.until(lambda turn: turn.failed).failed
    assert failure is not None
    assert failure.reason in reasons


def test_a_message_that_may_not_be_published_is_wrong(broker: Broker) -> None:
    """MQTT 5 says so; the session goes on."""
    with opened(broker, client(V5, qos=1, topic="elsewhere")) as one:
        one.say(b"x")
        assert one.until(lambda turn: turn.wrong).wrong == 1
        assert one.session.idle


@pytest.mark.parametrize(
    ("version", "reason"), [(V3, "closed before SUBACK"), (V5, "disconnected: malformed packet (129)")]
)
def test_a_filter_that_is_none(broker: Broker, version: int, reason: str) -> None:
    assert refused(broker, client(version, filters=("t/#/x",))) == reason


def test_the_keepalive_of_the_broker_counts(broker: Broker) -> None:
    kind = client(V5, keepalive_s=1000)
    with opened(broker, kind):
        assert kind.keepalive_s == 600


@pytest.mark.parametrize(
    ("version", "reasons"),
    [
        (V3, {"closed; MQTT 3.1.1 has no reasons"}),
        (V5, {"closed without DISCONNECT", "disconnected: keep alive timeout (141)"}),
    ],
)
def test_a_client_that_says_nothing_is_closed(broker: Broker, version: int, reasons: set[str]) -> None:
    """mosquitto 2.0 does not say why."""
    with opened(broker, client(version, keepalive_s=1, name=f"silent{version}")) as one:
        failure = one.until(lambda turn: turn.failed).failed

    assert failure is not None
    assert failure.reason in reasons
    assert broker.logged(f"Client silent{version} has exceeded timeout")


def test_no_more_clients_than_it_takes(tmp_path: Path) -> None:
    """mosquitto closes the others without a word."""
    with mosquitto(tmp_path, "max_connections 2") as broker, ExitStack() as stack:
        for number in range(2):
            stack.enter_context(opened(broker, client(V5), number))
        assert refused(broker, client(V5, name="third")) == "closed before CONNACK"
        assert broker.logged("max_connections exceeded")


@pytest.mark.parametrize(("version", "words"), [(V3, "not authorized (5)"), (V5, "not authorized (135)")])
def test_who_may_not_connect_is_told_so(tmp_path: Path, version: int, words: str) -> None:
    """No user, a wrong one, a wrong password; and the right one may."""
    with mosquitto(tmp_path, password_file(tmp_path, "ada", "right"), anonymous=False) as broker:
        for user, password in (("", ""), ("bob", "right"), ("ada", "wrong")):
            assert refused(broker, client(version, user=user, password=password)) == f"refused: {words}"
        with opened(broker, client(version, user="ada", password="right")):  # noqa: S106
            pass


@pytest.mark.parametrize(("version", "setting"), [(V3, "mqttv311"), (V5, "mqttv50")])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_bridge_of_mosquitto_is_served(tmp_path: Path, version: int, setting: str, qos: int) -> None:
    """It connects and subscribes here; what one of its clients publishes there comes here.

    It goes back there in MQTT 3.1.1 only: with MQTT 5 a bridge asks for nothing of its own (NO_LOCAL).
    """
    with answering(MqttServer()) as (address, turns):
        bridge = ["connection out", f"address {address[0]}:{address[1]}", f"topic t/# both {qos}"]
        bridge += [f"bridge_protocol_version {setting}", "try_private false", "notifications false"]
        with mosquitto(tmp_path, *bridge) as broker:
            assert wait_until(lambda: broker.logged("Received SUBACK"))
            with opened(broker, client(version, qos=1)) as one:
                one.say(b"hello")
                assert wait_until(lambda: sum(turn.answers for turn in turns) == 1)
            if qos:
                assert wait_until(lambda: broker.logged("Received PUBACK from local."))
            if version == V3:
                assert wait_until(lambda: broker.logged("Received PUBLISH from local."))
    assert {turn.failed for turn in turns if turn.failed} == {Failure(FailureKind.MQTT, "closed without DISCONNECT")}
