"""Sources: which of them is taken, what is refused, and what a fork leaves of it."""

import errno
import ipaddress
import os
import pickle
import re
import socket
import struct
from typing import Any

import pytest

from fourtuple.client.connecting import connect
from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.sources import Sources
from fourtuple.core.errors import UsageError
from tests.client.inside import inside
from tests.client.servers import HOST, PORT, by_source, hold, hold_plainly, listening
from tests.waiting import wait_until


def test_three_sources_hold_exactly_three_times_as_many() -> None:
    def fill() -> tuple[dict[str, int], Any]:
        with listening(port=PORT):
            socks, error = hold(sources=Sources("127.0.0.1", "127.0.0.2-3"))
            return by_source(socks), error

    held, error = inside(fill)

    assert held == {"127.0.0.1": 64, "127.0.0.2": 64, "127.0.0.3": 64}
    assert (error.usable, error.in_use, error.source) == (192, 192, "127.0.0.1, 127.0.0.2-3")


def test_the_one_with_the_most_room_comes_first() -> None:
    """What others hold is seen: 40 from one source, so the next 40 are from the other, and then they take turns."""

    def fill() -> list[dict[str, int]]:
        with listening(port=PORT):
            kept = hold_plainly("127.0.0.1", 40)
            sources = Sources("127.0.0.1-2")
            first, then = hold(sources=sources, most=40)[0], hold(sources=sources, most=20)[0]
            return [by_source(socks) for socks in (kept, first, then)]

    assert inside(fill) == [{"127.0.0.1": 40}, {"127.0.0.2": 40}, {"127.0.0.1": 10, "127.0.0.2": 10}]


def test_what_is_held_towards_another_destination_does_not_count() -> None:
    def fill() -> dict[str, int]:
        with listening(port=PORT), listening(port=PORT + 1):
            kept = hold_plainly("127.0.0.1", 40, (HOST, PORT + 1))
            return by_source(hold(sources=Sources("127.0.0.1-2"), most=20)[0]) if kept else {}

    assert inside(fill) == {"127.0.0.1": 10, "127.0.0.2": 10}


def test_where_one_has_no_port_left_the_next_one_is_taken() -> None:
    """One is filled by others between two looks, and no error is seen."""

    def fill() -> tuple[dict[str, int], Any]:
        with listening(port=PORT):
            sources = Sources("127.0.0.1-2")
            first, _ = hold(sources=sources, most=2)
            kept = hold_plainly("127.0.0.2", 63)
            then, error = hold(sources=sources)
            return by_source([*first, *kept, *then]), error

    held, error = inside(fill)

    assert held == {"127.0.0.1": 64, "127.0.0.2": 64}
    assert error.in_use == 128


def test_ports_that_become_free_are_found_again() -> None:
    """By the next look."""

    def fill() -> tuple[int, int]:
        with listening(port=PORT):
            sources = Sources("127.0.0.1-2")
            socks, _ = hold(sources=sources)
            freed = [sock for sock in socks if sock.getsockname()[0] == "127.0.0.2"]
            for sock in freed:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no TIME_WAIT
                sock.close()
            sources.look()  # it would be due a second later
            return len(freed), len(hold(sources=sources)[0])

    assert inside(fill) == (64, 64)


def test_a_source_that_is_not_of_this_host_is_named() -> None:
    """EADDRNOTAVAIL comes from bind() then, and ports have nothing to do with it."""

    def ask() -> OSError:
        with listening(port=PORT), pytest.raises(OSError, match="bind") as caught:
            connect((HOST, PORT), sources=Sources("10.1.2.3"))
        return caught.value

    error = inside(ask)

    assert type(error) is OSError
    assert error.errno == errno.EADDRNOTAVAIL
    assert str(error.strerror).startswith("bind: 10.1.2.3 ")


def test_children_share_what_there_is() -> None:
    """Four of them, forked when some are open already: 2 × 64 in all, whoever gets them."""

    def fill() -> list[int]:
        with listening(port=PORT):
            sources = Sources("127.0.0.1-2")
            kept, _ = hold(sources=sources, most=8)
            hold_up, hold_down = os.pipe()
            pipes, children = [], []
            for _ in range(4):
                ended, told = os.pipe()
                child = os.fork()
                if not child:
                    os.close(hold_down)
                    socks, error = hold(sources=sources)
                    os.write(told, f"{len(socks)} {type(error).__name__}\n".encode())
                    os.read(hold_up, 1)  # until the parent has heard of all
                    os._exit(0)
                os.close(told)
                pipes.append(ended)
                children.append(child)
            words = [open(ended).readline().split() for ended in pipes]  # noqa: SIM115  (for the child's life)
            os.close(hold_down)
            for child in children:
                os.waitpid(child, 0)
            assert [word[1] for word in words] == ["PortsExhausted"] * 4
            return [len(kept), *(int(word[0]) for word in words)]

    assert sum(inside(fill)) == 128


def test_a_child_is_not_held_up_by_a_thread_that_it_has_not() -> None:
    """The lock was taken when the process was forked."""

    def ask() -> int:
        with listening(port=PORT):
            sources = Sources("127.0.0.1-2")
            with sources._lock:
                child = os.fork()
                if not child:
                    os._exit(len(hold(sources=sources, most=3)[0]))
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert inside(ask) == 3


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        "localhost",
        "1.2.3",
        "010.0.0.1",
        "10.0.0.1:80",
        "[::1]:80",
        "10.0.0.9-1",
        "10.0.0.1/33",
        "10.0.0.4,",
        " ",
    ],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        Sources("127.0.0.1", given)


@pytest.mark.parametrize("given", [("10.0.0.1-10.0.16.0", "10.1.0.1"), ("10.0.0.0/8",), ("fd00::/64",)])
def test_more_than_4096_are_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="4,096"):
        Sources(*given)


def test_4096_are_possible_and_none_is_not() -> None:
    assert Sources("10.0.0.1-10.0.16.0").of_version(4) == ("10.0.0.1-10.0.16.0",)
    with pytest.raises(UsageError):
        Sources()


def test_an_address_that_is_given_twice_is_one() -> None:
    def fill() -> tuple[int, int]:
        with listening(port=PORT):
            socks, error = hold(sources=Sources(HOST, "127.0.0.1-2", "127.0.0.2"))
            return len(socks), error.usable

    assert inside(fill) == (128, 128)


def test_both_ip_versions_may_be_among_them() -> None:
    """A destination gets those of its own."""

    def ask() -> list[str]:
        sources = Sources("127.0.0.2", "::1")
        with listening(port=PORT), listening("::1", PORT):
            return [connect((host, PORT), sources=sources).getsockname()[0] for host in (HOST, "::1")]

    assert inside(ask) == ["127.0.0.2", "::1"]
    assert (Sources("127.0.0.2", "::1").of_version(4), str(Sources("::1", HOST))) == (("127.0.0.2",), "::1, 127.0.0.1")


def test_what_was_full_is_seen_to_be_free_again() -> None:
    """Two sources are full, then all of one's ports are free: they are found soon."""

    def ask() -> tuple[int, int]:
        sources = Sources("127.0.0.2", "127.0.0.3")
        with listening(port=PORT):
            kept, _ = hold(sources=sources)
            for sock in [sock for sock in kept if sock.getsockname()[0] == "127.0.0.3"]:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            first = wait_until(lambda: hold(sources=sources, most=1)[0])
            again, error = hold(sources=sources)
            assert isinstance(error, PortsExhausted)
            return len(kept), len(first + again)

    assert inside(ask) == (128, 64)


def test_a_source_that_is_gone_is_passed_over() -> None:
    """And where none is there, that is what is said."""

    def ask() -> tuple[list[str], str]:
        with listening(port=PORT):
            sources = Sources("192.0.2.1", "127.0.0.3")
            found = {connect((HOST, PORT), sources=sources).getsockname()[0] for _ in range(5)}
            with pytest.raises(OSError, match="bind: 192") as caught:
                connect((HOST, PORT), sources=Sources("192.0.2.1", "192.0.2.2"))
            return sorted(found), type(caught.value).__name__

    assert inside(ask) == (["127.0.0.3"], "OSError")


def test_one_is_pickled_by_its_names() -> None:
    assert pickle.loads(pickle.dumps(Sources("127.0.0.2-4", "::1"))).names == ("127.0.0.2-4", "::1")  # noqa: S301


def test_addresses_may_be_objects() -> None:
    assert Sources(ipaddress.ip_address("127.0.0.2")).of_version(4) == ("127.0.0.2",)


@pytest.mark.parametrize("wrong", [None, 5, ["127.0.0.2"]])
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(repr(wrong))):
        Sources(wrong)
