"""Sessions from end to end: `hold` and `serve` with each scheme, on both loops, with the server's own count beside."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.runs.churn_orders import ClosedBy
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.records import HoldRecord
from fourtuple.engine.protocols.certificate import make_certificate
from fourtuple.kernel.uring import features
from fourtuple.verbs.background import serving
from fourtuple.verbs.churn import churn
from fourtuple.verbs.hold import hold
from tests.conftest import need
from tests.ports import free_port

SCHEMES = {
    "tls": ("--tls", "--echo"),
    "http": ("--http",),
    "https": ("--tls", "--http"),
    "ws": ("--websocket",),
    "wss": ("--tls", "--websocket"),
    "mqtt": ("--mqtt",),
    "mqtts": ("--tls", "--mqtt"),
}
INSECURE = {"session": {"insecure": True}}


@pytest.fixture(params=["ring", "epoll"])
def loop(request: pytest.FixtureRequest) -> str:
    need(request.param != "ring" or features().why_not is None, "io_uring")
    return str(request.param)


def held(wanted: int, destination: str, **options: Any) -> HoldRecord:
    """A machine that does other things, too, may answer late: that messages wait for each other is no failure here."""
    require = ("held=all", "open_at_end=all", "accepted=all", "unexpected=0")
    return hold(wanted, [destination], **{"hold_s": 0.5, "require": require, **options}).finish()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_holds_sessions(scheme: str, loop: str) -> None:
    """97 sessions, messages on each, closed by FIN: all established and answered, and ended at the server, too."""
    end = f"127.0.0.1:{free_port()}"
    options: dict[str, Any] = INSECURE if scheme in ("tls", "https", "wss", "mqtts") else {}
    if scheme.startswith("mqtt"):
        options = {"session": {**options.get("session", {}), "qos": 1}}
    message = {} if scheme.startswith("http") else {"send": b"hello {connection} {message}"}
    with serving(end, *SCHEMES[scheme], "--loop", loop) as server:
        record = held(97, f"{scheme}://{end}", loop=loop, every_s=1.0, reset=False, hold_s=2.0, **message, **options)

    assert (record.outcome.reached, record.outcome.says, record.reasons) == (True, record.outcome.says, {})
    assert (record.held, record.sessions, record.open_at_end, record.lost) == (97, 97, 97, 0)
    assert record.answers >= 97
    assert (record.session_us.p50 is None) == (scheme == "http")  # which needs no exchange to be ready
    assert (record.tls_us.p50 is not None) == (scheme in ("tls", "https", "wss", "mqtts"))
    assert (server.record["accepted"], server.record["lost"]) == (97, 97)
    if not scheme.startswith("http"):  # where a request is on its way, its answer meets a closed socket
        assert server.record["lost_by"] == {"FIN": 97}


@pytest.mark.parametrize("workers", [1, 3])
def test_sessions_are_exact_with_any_number_of_workers(workers: int) -> None:
    """997 WebSockets: the server accepts 997, and each message says the number of its own connection once."""
    end = f"127.0.0.1:{free_port()}"
    with serving(end, "--websocket") as server:
        record = held(997, f"ws://{end}/chat", workers=workers, send=b'{"id": {connection}}', every_s=0.3, hold_s=1.0)

    assert record.outcome.reached, record.outcome.says
    assert (record.held, record.sessions, server.record["accepted"]) == (997, 997, 997)
    assert (record.census.client, record.census.accepted) == (997, 997)


@pytest.mark.parametrize(
    ("scheme", "server", "reason"),
    [
        ("tls", (), 'tls: not TLS: "220"'),
        ("http", (), 'http: not HTTP: "220"'),
        ("ws", (), 'websocket: not HTTP: "220"'),
        ("mqtt", (), 'mqtt: not MQTT: "220"'),
        ("https", ("--tls", "--http"), "tls: self-signed certificate"),
        ("ws", ("--http",), "websocket: status 200"),
    ],
)
def test_a_server_that_speaks_otherwise_is_said_to(
    scheme: str, server: tuple[str, ...], reason: str, loop: str
) -> None:
    """Every session fails with the same reason, and all are accounted for."""
    end = f"127.0.0.1:{free_port()}"
    with serving(end, *(server or ("--greet", r"220 ready\r\n"))):
        record = held(23, f"{scheme}://{end}/" if scheme in ("ws", "http", "https") else f"{scheme}://{end}", loop=loop)

    assert (record.open_at_end, record.lost, record.lost_by) == (0, 23, {"EPROTO": 23})  # HTTP is ready at once
    assert list(record.reasons.values()) == [23]
    assert next(iter(record.reasons)).startswith(reason)
    assert reason in record.outcome.says


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(loop: str) -> None:
    """TLS to a server that never answers: no session, and the run ends."""
    end = f"127.0.0.1:{free_port()}"
    with serving(end):
        record = held(5, f"tls://{end}", loop=loop, timeout_s=1.0, **INSECURE)

    assert (record.held, record.lost_by) == (0, {"ETIMEDOUT": 5})
    assert record.reasons == {"session: not established in time": 5}


def test_lost_sessions_are_opened_again(loop: str) -> None:
    """A server that closes each after a while: with reconnect, new sessions are established."""
    end = f"127.0.0.1:{free_port()}"
    with serving(end, "--websocket", "--close-after", "500ms"):
        record = held(20, f"ws://{end}/", loop=loop, reconnect=True, hold_s=2.0)

    assert record.reconnected >= 40
    assert record.sessions >= 60
    assert record.reasons == {"websocket: closed without a close frame": record.lost}


@pytest.mark.parametrize("scheme", ["https", "ws", "mqtt"])
@pytest.mark.parametrize("closed_by", [ClosedBy.RST, ClosedBy.FIN])
def test_sessions_are_churned(scheme: str, closed_by: ClosedBy, loop: str) -> None:
    """100 sessions in a second, two requests each, then the end: the server has accepted as many as were started."""
    end = f"127.0.0.1:{free_port()}"
    session = {"https": {"insecure": True}, "mqtt": {"qos": 1}}.get(scheme, {})
    message = {} if scheme == "https" else {"send": b"hello {connection}"}
    with serving(end, *SCHEMES[scheme], "--loop", loop) as server:
        record = churn(
            100, [f"{scheme}://{end}"], run_s=1.0, requests=2, even=True, closed_by=closed_by, loop=LoopName(loop),
            require=("completed=100", "unexpected=0"), session=session, **message,
        ).finish()  # fmt: skip

    assert record.outcome.reached, record.outcome.says
    assert (record.started, record.completed, record.answers) == (100, 100, 200)
    assert server.record["accepted"] == server.record["sessions"] == 100
    assert record.reasons == {}


def test_a_first_message_and_its_answer_make_a_session(loop: str) -> None:
    """--first and --expect before messages, in plain TCP; an echo answers as expected, or not."""
    end = f"127.0.0.1:{free_port()}"
    with serving(end, "--echo"):
        good = command(
            f"hold 20 {end} --first HELLO --expect re:^HELLO --send PING --expect PING --every 200ms --for 1s", loop
        )
        bad = command(f"hold 20 {end} --first HELLO --expect re:^OK --for 1s", loop)

    assert (good["held"], good["sessions"], good["unexpected"]) == (20, 20, 0)
    assert good["answers"] >= 60
    assert (bad["held"], bad["reasons"]) == (0, {'text: the answer to --first does not match ^OK: "HELLO"': 20})


def test_connections_take_the_lines_of_a_file_in_turn(tmp_path: Path, loop: str) -> None:
    """In what is said first, too; an echo sends each line back."""
    (tmp_path / "words").write_text("one\ntwo\nthree\n")
    line = f"{{line:{tmp_path / 'words'}}}"
    end = f"127.0.0.1:{free_port()}"
    with serving(end, "--echo"):
        three = command(f"hold 9 {end} --first {line}. --expect re:^(one|two|three)[.] --for 500ms", loop)
        two = command(f"hold 9 {end} --first {line}. --expect re:^t[a-z]+[.] --for 500ms", loop)

    assert (three["held"], three["reasons"]) == (9, {})
    assert (two["held"], two["lost"]) == (6, 3)
    assert list(two["reasons"].values()) == [3]


def test_what_follows_the_match_of_a_pattern_belongs_to_a_message(loop: str) -> None:
    end = f"127.0.0.1:{free_port()}"
    with serving(end, "--websocket"):
        record = command(f"hold 5 ws://{end}/ --send OK-{{message}} --expect re:^OK --every 100ms --for 500ms", loop)

    assert record["answers"] >= 5
    assert record["unexpected"] == 0


def command(text: str, loop: str) -> dict[str, Any]:
    import json
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "fourtuple", *text.split(), "--loop", loop, "--json", "--no-store"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("session", "named"),
    [
        ({"ca": "/nowhere"}, "/nowhere"),
        ({"certificate": "/nowhere"}, "/nowhere"),
        ({"key": "/nowhere", "insecure": True}, "/nowhere"),
        ({"headers": (("A", "b\r\nc"),), "insecure": True}, "HTTP request"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_anything_is_opened(session: dict[str, Any], named: str) -> None:
    with pytest.raises((UsageError, CannotError), match=named):
        hold(1, [f"https://127.0.0.1:{free_port()}/"], session=session)


@pytest.mark.parametrize("name", ["client_id", "topic"])
def test_lines_of_a_file_are_for_messages_only(name: str) -> None:
    with pytest.raises(UsageError, match="for --send and --first"):
        hold(1, [f"mqtt://127.0.0.1:{free_port()}"], session={name: "{line:/nowhere}"})


def test_a_certificate_of_ones_own_is_served_and_trusted(tmp_path: Path) -> None:
    """By the name in it, with the file of the authority; another name is refused."""
    pem = make_certificate(["localhost", "127.0.0.1"])
    (tmp_path / "both.pem").write_bytes(pem)
    end = f"127.0.0.1:{free_port()}"
    with serving(end, "--tls", "--http", "--cert", str(tmp_path / "both.pem")):
        trusted = held(5, f"https://{end}/", session={"ca": str(tmp_path / "both.pem")})
        other = held(5, f"https://{end}/", session={"ca": str(tmp_path / "both.pem"), "sni": "example.org"})

    assert trusted.outcome.reached, trusted.outcome.says
    assert other.reasons == {"tls: hostname mismatch": 5}
