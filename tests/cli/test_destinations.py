"""Which destination failed, on real sockets: in the record, in the text, and first of all where nothing connected."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import fourtuple
from tests.ports import free_port

QUICK = ("--no-store", "--quiet")


@contextmanager
def silent() -> Iterator[str]:
    """A listener whose accept queue is full: the kernel drops what comes."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def living() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_one_that_refuses_and_one_that_is_silent_are_told_apart() -> None:
    """Each has its own errno; the third has all connections."""
    refuses = f"127.0.0.1:{free_port()}"
    with living() as good, silent() as dead:
        done = fourtuple("hold", "300", good, refuses, dead, "--for", "0s", "--timeout", "300ms", *QUICK, "--json")
    record = json.loads(done.stdout)
    found = {each["destination"]: each for each in record["destinations"]}

    assert done.returncode == 1
    assert [*found[refuses]["failed"]] == ["ECONNREFUSED"]
    assert [*found[dead]["failed"]] == ["ETIMEDOUT"]
    assert (found[good]["opened"], found[good]["failed"]) == (record["held"], {})
    assert sum(sum(each["failed"].values()) for each in found.values()) == sum(record["failed"].values())


@pytest.mark.parametrize("command", [("hold", "10"), ("churn", "200/s")])
def test_the_cause_and_the_target_come_first(command: tuple[str, str]) -> None:
    target = f"127.0.0.1:{free_port()}"
    first = fourtuple(*command, target, "--for", "100ms", *QUICK).stdout.splitlines()[0]

    assert first.startswith("0 of ")
    assert f"connected: ECONNREFUSED from {target}" in first


def test_the_text_says_which_destination_failed() -> None:
    """The other one is there with what it opened."""
    refuses = f"127.0.0.1:{free_port()}"
    with living() as good:
        done = fourtuple("hold", "50", good, refuses, "--for", "0s", *QUICK)

    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] in ([good], [refuses])]
    assert [(name, "ECONNREFUSED" in words) for name, *words in rows] == [(refuses, True), (good, False)]
