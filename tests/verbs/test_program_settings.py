"""The settings of running programs: what is odd, missing or refused gives less, and no error."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fourtuple.verbs.program_questions import ask_haproxy, ask_memcached, ask_postgres, ask_program, ask_redis
from fourtuple.verbs.program_settings import settings_of


@contextmanager
def answering(answer: bytes) -> Iterator[socket.socket]:
    """A connection whose other end answers whatever is asked with these bytes, and closes."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)

    def answer_once() -> None:
        with theirs:
            theirs.recv(4096)
            theirs.sendall(answer)

    thread = threading.Thread(target=answer_once)
    thread.start()
    with ours:
        yield ours
    thread.join()


def test_a_program_that_the_catalogue_does_not_know_has_no_settings() -> None:
    assert settings_of(os.getpid()) == settings_of(os.getpid(), ask=True) == ()


def test_a_process_that_has_ended_has_no_settings() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert settings_of(child.pid, "nginx-like") == ()
    assert [setting.value for setting in ask_program(child.pid, "redis")] == [""]


def test_redis_says_how_many() -> None:
    with answering(b"*2\r\n$10\r\nmaxclients\r\n$3\r\n300\r\n$20\r\nmaxclients:300\r\n") as connection:
        assert list(ask_redis(connection)) == [("redis.maxclients", "300")]


def test_redis_without_config_is_read_from_info() -> None:
    with answering(b"-ERR unknown command\r\n$20\r\n# Clients\r\nmaxclients:300\r\n") as connection:
        assert list(ask_redis(connection)) == [("redis.maxclients", "300")]


@pytest.mark.parametrize(
    ("answer", "why"),
    [(b"-NOAUTH Authentication required.\r\n", "it wants a password"), (b"-ERR max number\r\n", "ERR max number")],
)
def test_redis_that_refuses_says_why(answer: bytes, why: str) -> None:
    with answering(answer) as connection, pytest.raises(ValueError, match=why):
        list(ask_redis(connection))


@pytest.mark.parametrize("answer", [b"R\0\0\0\x08\0\0\0\x05", b"R\0\0\0\x08\0\0\0\x03"])
def test_a_postgres_that_wants_a_password_is_not_asked_further(answer: bytes) -> None:
    with answering(answer) as connection, pytest.raises(ValueError, match="it wants a password"):
        list(ask_postgres(connection))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"R\xff\xff\xff\xff", b"\0" * 64])
def test_what_speaks_another_protocol_gives_no_setting(answer: bytes) -> None:
    for ask in (ask_redis, ask_memcached, ask_haproxy):
        with answering(answer) as connection:
            assert list(ask(connection)) == []
    with answering(answer) as connection, pytest.raises(ValueError, match=r"protocol|closed"):
        list(ask_postgres(connection))
