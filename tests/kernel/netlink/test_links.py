"""The cable between two namespaces: each end has its name and its addresses, and what the kernel refuses is named."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fourtuple.kernel.netlink.links import NLM_F_ACK, pair
from fourtuple.kernel.netns import Namespace
from tests.conftest import need_namespace

LINKS = [sys.executable, "-m", "fourtuple.kernel.netlink.links"]
SEEN = """
from fourtuple.kernel.netlink.interfaces import read_host_addresses, read_interfaces
names = read_interfaces().names
print(*sorted(f"{each.interface} {each.address}" for each in read_host_addresses(names)), sep="\\n")
"""


@pytest.fixture
def two() -> Iterator[tuple[Namespace, Namespace]]:
    need_namespace()
    with Namespace() as near, Namespace(beside=near) as far:
        yield near, far


def run(namespace: Namespace, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(namespace.command(command), capture_output=True, text=True, check=False)


def test_both_ends_have_their_addresses(two: tuple[Namespace, Namespace]) -> None:
    near, far = two
    joined = run(near, *LINKS, "join", "east", "west", str(far.pid_inside), "10.9.0.1/16", "10.9.0.7/32", "fd09::1/64")
    up = run(far, *LINKS, "up", "west", "10.9.0.2/16")
    assert (joined.returncode, up.returncode) == (0, 0), joined.stderr + up.stderr
    here, there = (run(end, sys.executable, "-c", SEEN).stdout.split("\n") for end in two)

    assert {"east 10.9.0.1", "east 10.9.0.7", "east fd09::1"} <= set(here)
    assert "west 10.9.0.2" in there


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["join", "lo", "west", "{far}"], errno.EEXIST),
        (["join", "east", "west", "99999999"], errno.ESRCH),
        (["join", "a" * 16, "west", "{far}"], errno.ERANGE),
        (["up", "lo", "127.0.0.1/8"], errno.EEXIST),
    ],
)
def test_a_refusal_is_named(two: tuple[Namespace, Namespace], arguments: list[str], number: int) -> None:
    near, far = two
    done = run(near, *LINKS, *(each.format(far=far.pid_inside) for each in arguments))

    assert (done.returncode, done.stderr.count("\n")) == (77, 1)
    assert errno.errorcode[number] in done.stderr
    assert os.strerror(number) in done.stderr


def test_a_request_asks_for_an_answer() -> None:
    """Without one, the kernel is silent about success, and receiving it would fail."""

    assert int.from_bytes(pair("east", "west", 1)[6:8], "little") & NLM_F_ACK
