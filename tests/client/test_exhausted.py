"""PortsExhausted: what it counts, why it says so, and what is another error."""

import copy
import errno
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from fourtuple.client.connecting import connect
from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.sources import Sources
from fourtuple.core.why.causes import CAUSES
from fourtuple.core.why.shortage import OF_SEVERAL
from tests.client.inside import inside
from tests.client.servers import HOST, PORT, hold, listening
from tests.told import numbers

APART = "10.9.9.9"  # of loopback, but outside of 127.0.0.0/8, where the kernel takes a TIME_WAIT over after a second
# Another program, which binds before it connects.
BINDS_FIRST = """
import socket, sys
kept = [socket.socket() for _ in range(64)]
for each in kept:
    each.bind(("127.0.0.1", 0))
print("bound", flush=True)
sys.stdin.read()
"""


def used_up(sources: tuple[str, ...] = ()) -> PortsExhausted:
    def fill() -> Any:
        with listening(port=PORT):
            return hold(sources=Sources(*sources) if sources else None)[1]

    error = inside(fill)
    assert isinstance(error, PortsExhausted)
    return error


def test_it_tells_all_that_counts() -> None:
    error = used_up()

    assert (error.errno, error.usable, error.in_use, error.time_wait) == (errno.EADDRNOTAVAIL, 64, 64, 0)
    assert (error.source, error.destination) == (HOST, f"{HOST}:{PORT}")


def test_why_is_a_sentence_that_says_what_to_do() -> None:
    error = used_up(("127.0.0.2",))

    cause = CAUSES[error.shortage.cause]
    assert numbers(error.why)[:2] == [64, 64]
    for named in ("127.0.0.2", "127.0.0.1:8000", cause.says, *(cure.do for cure in cause.cures[:2])):
        assert named in error.why
    assert error.why.endswith(".")
    assert str(error).startswith("[Errno 99] ")
    assert str(error).endswith(error.why)


@pytest.mark.parametrize("given", [("127.0.0.2-3",), ("127.0.0.2", "127.0.0.3")])
def test_why_of_several_sources_does_not_speak_of_one(given: tuple[str, ...]) -> None:
    error = used_up(given)

    assert numbers(error.why)[:2] == [128, 128]
    for of_one, of_several in OF_SEVERAL:
        assert of_one not in error.why
        assert of_several in error.why


@pytest.mark.parametrize("again", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])  # noqa: S301
def test_it_can_be_sent_elsewhere(again: Callable[[Any], Any]) -> None:
    """To another process, say: the numbers go with it."""
    error = used_up()
    other = again(error)

    assert type(other) is PortsExhausted
    assert (other.args, other.shortage, other.errno, other.why) == (error.args, error.shortage, 99, error.why)


def test_time_wait_is_told_as_the_reason() -> None:
    """The client closes first, 64 times."""

    def churn() -> Any:
        with closing(socket.create_server((APART, PORT), backlog=100)) as server:
            for _ in range(64):
                with connect((APART, PORT)):
                    other, _ = server.accept()
                other.close()
            return hold((APART, PORT))[1]

    error = inside(churn, addresses=(f"{APART}/32",))

    assert isinstance(error, PortsExhausted)
    assert (error.in_use, error.time_wait) == (64, 64)
    assert 64 in numbers(error.why)
    assert "TIME_WAIT" in error.why
    assert error.shortage.cause == "time-wait"


def test_ports_that_others_have_bound_are_told_as_the_reason() -> None:
    """Another program holds all 64 by bind(address, 0), and has no connection at all."""

    def ask() -> Any:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with listening(port=PORT), subprocess.Popen([sys.executable, "-c", BINDS_FIRST], **pipes) as program:  # type: ignore[call-overload]
            assert program.stdout.readline() == "bound\n"
            socks, error = hold()
            program.stdin.close()
            return len(socks), error

    count, error = inside(ask)

    assert count == 0
    assert isinstance(error, PortsExhausted)
    assert error.shortage.cause == "bound-first"
    assert 64 in numbers(error.why)
    assert "bind()" in error.why


def test_the_same_errno_for_another_reason_stays_as_it_is() -> None:
    """IPv6 is switched off: no port is missing, and a note says so."""

    def ask() -> tuple[str, list[str]]:
        for name in ("all", "lo"):
            with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
                file.write("1")
        with pytest.raises(OSError, match="Cannot assign") as caught:
            connect(("::1", PORT))
        return type(caught.value).__name__, getattr(caught.value, "__notes__", [])

    kind, notes = inside(ask)

    assert kind == "OSError"
    assert len(notes) == 1
    assert "IP version" in notes[0]


def test_other_errors_are_not_touched() -> None:
    def ask() -> tuple[str, list[str]]:
        with pytest.raises(OSError, match="refused") as caught:
            connect((HOST, PORT), sources=Sources("127.0.0.1-2"))
        return type(caught.value).__name__, getattr(caught.value, "__notes__", [])

    assert inside(ask) == ("ConnectionRefusedError", [])


def test_counting_does_not_happen_for_every_error() -> None:
    """A hundred in a row, which would else read the kernel's table a hundred times: the count is the first one's."""

    def ask() -> int:
        with listening(port=PORT):
            kept, first = hold()
            same = 0
            for _ in range(100):
                _, error = hold(most=1)
                same += error.shortage is first.shortage
            return same if kept else 0

    assert inside(ask) == 100
