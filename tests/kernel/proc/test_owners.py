"""Sockets and network namespaces are attributed to processes, with a /proc made for the test and with the host's."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.owners import Holders, Process
from fourtuple.kernel.netns import Place, places
from fourtuple.kernel.proc.owners import read_holders
from tests.conftest import Ground, need

NOBODY = 65534


def process(proc: Path, pid: int, *links: str, name: str = "") -> Path:
    """A folder of /proc: its descriptors are numbered from 3 on."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fdinfo").mkdir()
    (folder / "comm").write_text(f"{name or f'app{pid}'}\n")
    for number, link in enumerate(links, 3):
        (folder / "fd" / str(number)).symlink_to(link)
        (folder / "fdinfo" / str(number)).write_text("pos:\t0\nflags:\t02\nmnt_id:\t16\n")
    return folder


def sockets(*inodes: int) -> list[str]:
    return [f"socket:[{inode}]" for inode in inodes]


def wanted(*inodes: int) -> NDArray[np.uint32]:
    return np.array(inodes, np.uint32)


def held(holders: Holders) -> dict[int, tuple[int, str]]:
    """The process that owns each inode."""
    pairs = zip(holders.inodes.tolist(), holders.numbers.tolist(), strict=True)
    return {inode: holders.processes[number] for inode, number in pairs}


def test_a_socket_is_of_the_process_that_has_a_link_to_it(tmp_path: Path) -> None:
    """Whatever other files it has open, and whatever else is in /proc."""
    process(tmp_path, 7, "/dev/null", *sockets(123, 99), "pipe:[124]", "anon_inode:[eventpoll]", "/tmp/socket:[125]")  # noqa: S108
    process(tmp_path, 12, *sockets(2**32 - 1), name="a name")
    process(tmp_path, 13, *sockets(55))
    (tmp_path / "sys").mkdir()
    (tmp_path / "20").mkdir()  # has ended
    (tmp_path / "meminfo").write_text("")

    found = read_holders(wanted(123, 0, 2**32 - 1, 123, 124, 125, 200), proc=tmp_path)

    assert held(found) == {123: (7, "app7"), 2**32 - 1: (12, "a name")}
    assert found.processes == ((7, "app7"), (12, "a name"))
    assert found.inodes.dtype == np.uint32
    assert found.inodes.tolist() == sorted(set(found.inodes.tolist()))


def test_of_several_processes_the_lowest_number_has_a_socket_and_the_first_one_comes_last(tmp_path: Path) -> None:
    """As numbers, not as names of folders; systemd holds listeners for services that it starts."""
    process(tmp_path, 1, *sockets(10, 11, 12), name="systemd")
    process(tmp_path, 1000, *sockets(10, 13))
    process(tmp_path, 200, *sockets(10, 10, 13, 14))
    process(tmp_path, 31, *sockets(14, 12))

    found = read_holders(wanted(10, 11, 12, 13, 14), proc=tmp_path)

    assert {inode: pid for inode, (pid, _) in held(found).items()} == {10: 200, 11: 1, 12: 31, 13: 200, 14: 31}
    assert found.shared == {10, 12, 13, 14}


def test_a_socket_with_two_descriptors_of_one_process_is_its_own(tmp_path: Path) -> None:
    """Or with one, and a place in a ring of the same process."""
    folder = process(tmp_path, 7, *sockets(123, 123), "anon_inode:[io_uring]")
    (folder / "fdinfo" / "5").write_text("    0: socket:[123]\n")

    assert read_holders(wanted(123, 124), rings=True, proc=tmp_path).shared == frozenset()


def test_nothing_wanted_is_nothing_looked_for(tmp_path: Path) -> None:
    process(tmp_path, 7, *sockets(0, 123))

    for nothing in (wanted(), wanted(0, 0)):
        found = read_holders(nothing, proc=tmp_path)
        assert (found.processes, found.inodes.tolist(), found.numbers.tolist()) == ((), [], [])


def test_what_nobody_has_is_left_out(tmp_path: Path) -> None:
    process(tmp_path, 7, *sockets(123))

    assert held(read_holders(wanted(122, 124), proc=tmp_path)) == {}
    assert held(read_holders(wanted(1, 123, 2**32 - 1), proc=tmp_path)) == {123: (7, "app7")}


RING = """pos:\t0
flags:\t02
SqMask:\t0x7f
UserFiles:\t4
    0: socket:[500]
    1: <none>
    2: socket:[501]
    3: socket:[123]
UserBufs:\t0
"""


def test_direct_descriptors_are_looked_for_if_asked(tmp_path: Path) -> None:
    """A socket belongs to the process with a descriptor for it, even if a ring of another process has it too."""
    folder = process(tmp_path, 7, "anon_inode:[io_uring]", "anon_inode:[eventpoll]", "anon_inode:[io_uring]")
    (folder / "fdinfo" / "3").write_text(RING)
    (folder / "fdinfo" / "4").write_text("socket:[502]\n")
    (folder / "fdinfo" / "5").unlink()
    process(tmp_path, 9, *sockets(123))
    asked = wanted(123, 500, 501, 502, 503)

    assert held(read_holders(asked, proc=tmp_path)) == {123: (9, "app9")}
    assert held(read_holders(asked, rings=True, proc=tmp_path)) == {
        123: (9, "app9"),
        500: (7, "app7"),
        501: (7, "app7"),
    }


def test_a_ring_is_left_alone_where_nothing_is_left_over(tmp_path: Path) -> None:
    """Reading it blocks its program. A fifo without a writer stands for it here: reading that would never end."""
    folder = process(tmp_path, 7, "anon_inode:[io_uring]", *sockets(123))
    (folder / "fdinfo" / "3").unlink()
    os.mkfifo(folder / "fdinfo" / "3")

    assert held(read_holders(wanted(123), rings=True, proc=tmp_path)) == {123: (7, "app7")}
    assert held(read_holders(wanted(123, 500), proc=tmp_path)) == {123: (7, "app7")}


def test_root_sees_all_and_others_their_own_processes(tmp_path: Path) -> None:
    process(tmp_path, 7, *sockets(123))
    found = read_holders(wanted(123, 500), proc=tmp_path)

    if os.geteuid() == 0:
        assert (found.visible, dict(found.users)) == (None, {})
    else:
        assert found.visible == frozenset({os.geteuid()})
        assert found.users[0] == "root"


@contextlib.contextmanager
def ordinary_user() -> Iterator[int]:
    """During the block root drops its privileges and acts as `nobody`; any other user is ordinary already."""
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(uid)


def test_the_users_of_closed_folders_are_not_seen_through() -> None:
    with tempfile.TemporaryDirectory() as name:  # where others may look, too
        os.chmod(name, 0o755)  # noqa: S103
        folder = process(Path(name), 7, *sockets(123))
        (folder / "fd").chmod(0)
        owner = folder.stat().st_uid
        with ordinary_user() as uid:
            found = read_holders(wanted(123), proc=Path(name))
        (folder / "fd").chmod(0o700)

    assert held(found) == {}
    assert found.visible == frozenset({uid} - {owner})
    (whose,) = found.owners(np.zeros(1, np.int64), wanted(123), wanted(owner), 1)
    assert (whose.not_visible, whose.no_descriptor) == (1, 0)


def test_a_socket_of_ours_is_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        inodes = [os.fstat(each.fileno()).st_ino for each in (server, client)]
        found = read_holders(wanted(*inodes))
        owners = found.owners(np.zeros(2, np.int64), wanted(*inodes), wanted(0, 0), 1)

    name = Path("/proc/self/comm").read_text().strip()
    assert held(found) == dict.fromkeys(inodes, (os.getpid(), name))
    assert owners[0].processes == (Process(os.getpid(), name, 2),)


# Namespaces, by the same folders.


def member(proc: Path, pid: int, netns: int, table: Path) -> None:
    """A process in a namespace, whose /proc/net/tcp is `table`."""
    folder = process(proc, pid)
    (folder / "ns").mkdir()
    (folder / "ns/net").symlink_to(f"net:[{netns}]")
    (folder / "net").mkdir()
    (folder / "net/tcp").hardlink_to(table)


def tables(folder: Path, numbers: Iterable[int]) -> dict[int, Path]:
    made = {number: folder / f"table{number}" for number in numbers}
    for file in made.values():
        file.write_text("")
    return made


def test_each_namespace_comes_once_our_own_first(tmp_path: Path) -> None:
    """Named as ip-netns(8) does, else by a process; one that has only a name, too; what has ended is left out."""
    proc, named = tmp_path / "proc", tmp_path / "netns"
    named.mkdir()
    for name in ("blue", "empty"):
        (named / name).write_text("")
    inodes = {name: (named / name).stat().st_ino for name in ("blue", "empty")}
    table = tables(tmp_path, (10, 11, inodes["blue"]))
    member(proc, 1, 10, table[10])
    member(proc, 30, 11, table[11])
    member(proc, 4, 10, table[10])
    member(proc, 200, inodes["blue"], table[inodes["blue"]])
    (proc / "50").mkdir()
    (proc / "self/ns").mkdir(parents=True)
    (proc / "self/ns/net").symlink_to("net:[11]")

    assert places(proc, named) == (
        [
            Place("net:[11]", "app30 (30)", 30, (30,)),
            Place("net:[10]", "app1 (1)", 1, (1, 4)),
            Place(f"net:[{inodes['blue']}]", "blue", 200, (200,)),
            Place(f"net:[{inodes['empty']}]", "empty", None),
        ],
        0,
    )
    assert [place.name for place in places(proc, tmp_path / "nowhere")[0]] == ["app30 (30)", "app1 (1)", "app200 (200)"]


def test_on_this_host_our_own_namespace_comes_first() -> None:
    found, more = places()

    assert found[0].netns == os.readlink("/proc/self/ns/net")
    assert len({place.netns for place in found}) == len(found)
    if os.geteuid() == 0:  # for whom every namespace is open
        assert more == 0


def test_a_lab_is_a_place_too(ground: Ground) -> None:
    need(os.geteuid() == 0, "root, for whom every namespace is open")
    netns = os.readlink(f"/proc/{ground.lab.pid}/ns/net")

    (place,) = [place for place in places()[0] if place.netns == netns]

    assert place.pid == ground.lab.pid
    assert place.name.endswith(f" ({ground.lab.pid})")
