"""Whose sockets these are: against an oracle that asks for one socket at a time; and how it is said."""

from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.sockets.owners import NAMELESS, Holders, Owners, Process, unseen
from tests.told import numbers

HIDDEN, NOBODY, KERNEL, _ = NAMELESS


class Socket(NamedTuple):
    group: int
    inode: int
    uid: int


class World(NamedTuple):
    """held: which process, by its place, has an inode; visible: None: everybody's processes were looked into"""

    processes: list[tuple[int, str]]
    held: dict[int, int]
    visible: frozenset[int] | None
    sockets: list[Socket]

    @property
    def holders(self) -> Holders:
        inodes = sorted(self.held)
        numbers = np.array([self.held[inode] for inode in inodes], np.int64)
        return Holders(tuple(self.processes), np.array(inodes, np.uint32), numbers, self.visible, {33: "www-data"})

    def column(self, name: str) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
        return np.array([getattr(socket, name) for socket in self.sockets], np.uint32)

    def code(self, socket: Socket) -> int:
        """The oracle: the process's place, or behind those one of NAMELESS."""
        if socket.inode == 0:
            return len(self.processes) + NAMELESS.index(KERNEL)
        if socket.inode in self.held:
            return self.held[socket.inode]
        is_hidden = self.visible is not None and socket.uid not in self.visible
        return len(self.processes) + NAMELESS.index(HIDDEN if is_hidden else NOBODY)


UIDS = st.sampled_from([0, 33, 1000, 2**32 - 1])
INODES = st.sampled_from([0, 1, 2, 3, 4, 2**31, 2**32 - 1])
GROUPS = 4


@st.composite
def worlds(draw: st.DrawFn) -> World:
    pids = draw(st.lists(st.integers(1, 50), max_size=4, unique=True))
    places = st.integers(0, max(0, len(pids) - 1))
    return World(
        [(pid, draw(st.sampled_from(["app", "nginx"]))) for pid in pids],
        draw(st.dictionaries(INODES.filter(bool), places)) if pids else {},
        draw(st.one_of(st.none(), st.frozensets(UIDS))),
        draw(st.lists(st.builds(Socket, st.integers(0, GROUPS - 1), INODES, UIDS), max_size=25)),
    )


@given(worlds())
def test_each_socket_is_somebodys(world: World) -> None:
    codes = world.holders.codes(world.column("inode"), world.column("uid"))

    assert codes.tolist() == [world.code(socket) for socket in world.sockets]


@given(worlds())
def test_the_owners_of_each_group_are_what_a_plain_count_finds(world: World) -> None:
    groups = world.column("group").astype(np.int64)
    found = world.holders.owners(groups, world.column("inode"), world.column("uid"), GROUPS)

    first = len(world.processes)
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for socket in world.sockets:
        counts[socket.group][world.code(socket)] += 1
    assert len(found) == GROUPS
    for group, said in enumerate(found):
        some = [Process(*world.processes[code], n) for code, n in counts[group].items() if code < first]
        assert list(said.processes) == sorted(some, key=lambda process: (-process.sockets, process.pid))
        rest = [counts[group][first + place] for place in range(3)]
        assert [said.not_visible, said.no_descriptor, said.kernel] == rest
        uids = {each.uid for each in world.sockets if each.group == group and world.code(each) == first}
        assert list(said.users) == ["www-data" if uid == 33 else str(uid) for uid in sorted(uids)]


def test_no_group_has_no_owners() -> None:
    nothing = np.zeros(0, np.uint32)

    assert World([], {}, None, []).holders.owners(nothing.astype(np.int64), nothing, nothing, 0) == []


def process(pid: int, name: str) -> Process:
    return Process(pid, name, 1)


@pytest.mark.parametrize(
    ("owners", "said"),
    [
        (Owners(), ""),
        (Owners(kernel=9), ""),
        (Owners((process(812, "nginx"),)), "nginx (812)"),
        (Owners((process(812, "nginx"),), kernel=9), "nginx (812)"),
        (Owners((process(9021, "php-fpm"), process(9022, "php-fpm"))), "php-fpm (9021 …)"),
        (Owners((process(7, "a"), process(5, "b"), process(6, "a"))), "a (7 …), b (5)"),
        (Owners((process(7, "a"), process(5, "b"), process(6, "c"))), "a (7), b (5), …"),
        (Owners(not_visible=3, users=("www-data", "1000")), "user www-data, 1000"),
        (Owners(no_descriptor=3), "io_uring"),
        (Owners((process(7, "a"),), 1, ("root",), 1, 1), "a (7), user root, io_uring"),
        (
            Owners((process(7, "a"), process(5, "b"), process(6, "c")), 1, ("root",), 1),
            "a (7), b (5), …, user root, io_uring",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_owners_in_words(owners: Owners, said: str) -> None:
    assert str(owners) == said


def test_what_is_not_seen_is_said_with_its_number() -> None:
    hidden, nobody = Owners(not_visible=1_000, users=("root",)), Owners(no_descriptor=2, kernel=5)

    assert unseen([]) == unseen([Owners(kernel=5)]) == unseen([Owners((process(7, "a"),))]) == []
    first, second = unseen((hidden, nobody, hidden))
    assert (numbers(first), numbers(second)) == ([2_000], [2])
    assert [numbers(line) for line in unseen([nobody, nobody])] == [[4]]
    assert "root" in unseen([hidden])[0]
    assert "--rings" in unseen([nobody])[0]


def test_what_a_listing_does_not_name_is_unknown_and_not_the_kernels() -> None:
    """As of `ss` without -p: sockets without an inode are the kernel's, the others have an owner that is not known."""
    listed = Holders((), np.zeros(0, np.uint32), np.zeros(0, np.int64), visible=None, users={}, listed=True)
    groups, inodes = np.array([0, 0, 1]), np.array([7, 0, 0], np.uint32)
    mixed, kernels = listed.owners(groups, inodes, np.zeros(3, np.uint32), 2)

    assert (mixed.unknown, mixed.kernel, mixed.not_visible, mixed.no_descriptor) == (1, 1, 0, 0)
    assert (mixed.whose, kernels.whose) == ("unknown", "the kernel's")
    assert "ss -tanp" in unseen([mixed, kernels])[0]
