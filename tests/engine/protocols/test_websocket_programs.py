"""WebSocket sessions against the `websockets` package: our clients at its server, its client at our server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from fourtuple.core.talk.session import WebSocketOptions
from fourtuple.engine.protocols.contract import Failure, FailureKind, Turn
from fourtuple.engine.protocols.websocket import WebSocketClient, WebSocketServer
from tests.engine.protocols.answering import answering
from tests.engine.protocols.driver import Driver
from tests.waiting import PATIENCE_S


@contextmanager
def server(handler: Callable[[ServerConnection], None], **options: Any) -> Iterator[tuple[str, int]]:
    """A server of `websockets` on a free port → its address."""
    with serve(handler, "127.0.0.1", 0, **options) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.socket.getsockname()
        finally:
            running.shutdown()
            thread.join(PATIENCE_S)


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def client(address: tuple[str, int], path: str = "/", **options: Any) -> Driver:
    kind = WebSocketClient(f"{address[0]}:{address[1]}", path, WebSocketOptions(**options))
    return Driver(address, kind.make(0, ""))


def ended(address: tuple[str, int], **options: Any) -> Failure | None:
    """How a connection ends that the server ends."""
    with client(address, **options) as one:
        return one.until(lambda turn: turn.failed).failed


def closed(reason: str) -> Failure:
    return Failure(FailureKind.WEBSOCKET, reason, by_peer=True)


def refused(reason: str) -> Failure:
    return Failure(FailureKind.WEBSOCKET, reason)


def test_messages_are_answered() -> None:
    """Text and binary, small and large; goodbye is a proper end for the server, too."""
    ends = []

    def handler(connection: ServerConnection) -> None:
        try:
            while True:
                connection.send(connection.recv())
        except ConnectionClosed as error:
            ends.append(error.rcvd and error.rcvd.code)

    with server(handler) as address:
        for binary in (False, True):
            with client(address, binary=binary) as one:
                one.until(lambda turn: turn.ready)
                for size in (0, 5, 126, 70_000):
                    one.say(b"x" * size)
                    assert one.until(lambda turn: turn.answers).answers == 1
                    assert one.session.idle
                one.socket.sendall(one.session.goodbye())
                assert one.socket.recv(100) == b"\x88\x02\x03\xe8"
    assert ends == [1000, 1000]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_each_close_code_that_it_sends_is_named(code: int) -> None:
    """It takes our close frame for the answer to its own: it closes properly, too."""
    seen: SimpleQueue[int | None] = SimpleQueue()

    def handler(connection: ServerConnection) -> None:
        connection.close(code, "go on")
        seen.put(connection.close_code)

    with server(handler) as address:
        reason = ended(address)
    assert reason is not None
    assert reason.by_peer
    assert reason.reason.startswith(f"closed with {code} (")
    assert reason.reason.endswith("): go on")
    assert seen.get(timeout=PATIENCE_S) == code


def test_a_client_that_does_not_answer_pings_is_closed() -> None:
    with server(echo, ping_interval=0.05, ping_timeout=0.05) as address, client(address) as one:
        turn = Turn()
        while turn.failed is None:
            turn = one.session.received(one.socket.recv(65536))  # and nothing is sent

    assert turn.failed == closed("closed with 1011 (internal error): keepalive ping timeout")


def test_a_client_that_answers_pings_stays() -> None:
    with server(echo, ping_interval=0.01, ping_timeout=PATIENCE_S) as address, client(address) as one:
        one.until(lambda turn: turn.ready)
        for _ in range(5):
            one.until(lambda turn: turn.send)
        one.say(b"still here")
        assert one.until(lambda turn: turn.answers)


def test_a_beat_is_answered() -> None:
    with server(echo, ping_interval=None) as address:
        kind = WebSocketClient("a", "/", WebSocketOptions())
        with Driver(address, kind.make(0, "")) as one:
            one.until(lambda turn: turn.ready)
            one.take(kind.beat(one.session))
            assert one.socket.recv(100) == b"\x8a\x00"


def test_subprotocols_are_negotiated_or_refused() -> None:
    with server(echo, subprotocols=["mqtt"]) as address:
        with client(address, subprotocols=("x", "mqtt")) as one:
            one.until(lambda turn: turn.ready)
        assert ended(address, subprotocols=("x",)) == refused("status 400")
    with server(echo) as address:
        assert ended(address, subprotocols=("x",)) == refused("no subprotocol was chosen")
    with server(echo, select_subprotocol=lambda *_: "y") as address:
        assert ended(address, subprotocols=("x",)) == refused("subprotocol y was not offered")


def test_a_status_is_a_refusal() -> None:
    def process(connection: ServerConnection, request: Request) -> Response | None:
        assert request.path == "/chat?room=1"
        return connection.respond(HTTPStatus.FORBIDDEN, "no\n")

    with server(echo, process_request=process) as address, client(address, "/chat?room=1") as one:
        assert one.until(lambda turn: turn.failed).failed == refused("status 403")


def test_the_origin_is_a_header() -> None:
    with server(echo, origins=["http://a.example"]) as address:
        assert ended(address) == refused("status 403")
        with client(address, headers=(("Origin", "http://a.example"),)) as one:
            assert one.until(lambda turn: turn.ready)


def test_a_message_in_fragments_is_one_answer() -> None:
    def handler(connection: ServerConnection) -> None:
        connection.send(["a", "b" * 70_000, "c"])
        connection.close(4000, "")

    with server(handler) as address, client(address) as one:
        assert one.until(lambda turn: turn.failed).failed == closed("closed with 4000 (a program's code)")
        assert sum(turn.answers for turn in one.turns) == 1


def test_a_message_that_is_too_big_for_it() -> None:
    with server(echo, max_size=100) as address, client(address) as one:
        one.until(lambda turn: turn.ready)
        one.say(b"x" * 101)
        failed = one.until(lambda turn: turn.failed).failed

    assert failed is not None
    assert failed.by_peer
    assert failed.reason.startswith("closed with 1009 (message too big)")


def test_text_that_is_not_utf_8_is_refused_by_it() -> None:
    with server(echo) as address, client(address) as one:
        one.until(lambda turn: turn.ready)
        one.say(b"\xff")
        failed = one.until(lambda turn: turn.failed).failed

    assert failed is not None
    assert failed.reason.startswith("closed with 1007 (invalid payload data)")


def test_its_client_is_served() -> None:
    """It offers compression, which is not taken; its messages come back, its pings are answered, it closes properly."""
    with answering(WebSocketServer()) as (address, turns):
        with connect(f"ws://127.0.0.1:{address[1]}/", subprotocols=["a", "b"]) as one:  # type: ignore[list-item]
            assert one.subprotocol == "a"
            assert one.protocol.extensions == []
            for message in ("hello", b"hello", "x" * 70_000, ["in", "ä", "parts"]):
                one.send(message)
                assert one.recv() == ("".join(message) if isinstance(message, list) else message)
            assert one.ping().wait(PATIENCE_S)
        assert one.close_code == 1000
        with pytest.raises(InvalidStatus, match="426"):
            connect(f"ws://127.0.0.1:{address[1]}/", additional_headers={"Sec-WebSocket-Version": "8"})

    assert [turn.failed for turn in turns if turn.failed] == [
        closed("closed with 1000 (normal closure)"),
        refused("the client asked for another version of WebSocket"),
    ]
    assert sum(turn.answers for turn in turns) == 4
