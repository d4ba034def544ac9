"""`fourtuple export --all-netns` as a monitor sees it: namespaces with sockets of their own, which come and go."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fourtuple.kernel.netns import NamespaceGoneError, in_namespace, places
from fourtuple.verbs.lab import Lab
from tests.cli.test_export import exporting, fetched, samples, value
from tests.conftest import LONELY, Ground, another_user, need, need_namespace, private_ground
from tests.waiting import wait_until

SCENE = """
import os, signal, socket, sys
from fourtuple.kernel.netns import set_loopback_up
from fourtuple.kernel.syscalls import CLONE_NEWNET, PR_SET_PDEATHSIG, prctl, setns, unshare

home = os.open("/proc/self/ns/net", os.O_RDONLY)
reader, writer = os.pipe()
children = []

def make(connections):
    setns(home, CLONE_NEWNET)
    unshare(CLONE_NEWNET)
    set_loopback_up()
    child = os.fork()
    if not child:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(1)  # only the scene itself holds it open
        held = []
        if connections:
            server = socket.create_server(("127.0.0.1", 80), backlog=4096)
        for _ in range(connections):
            held += [socket.create_connection(("127.0.0.1", 80)), server.accept()[0]]
        os.write(writer, b"!")
        while True:
            signal.pause()
    os.read(reader, 1)
    children.append(child)
    return child

def end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

for count in map(int, sys.argv[2:]):
    child = make(count)
    print(child, os.readlink(f"/proc/{child}/ns/net"), flush=True)
print("ready", flush=True)
if sys.argv[1] == "churn":
    while True:
        end(make(1))
for line in sys.stdin:
    end(int(line))
    print("ended", flush=True)
"""


class Scene:
    """Namespaces with connections to themselves. netns: the names, in order; pids: the process in each"""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        assert program.stdout is not None
        self._program = program
        self.pids: list[int] = []
        self.netns: list[str] = []
        while (line := program.stdout.readline().split()) != ["ready"]:
            assert line, "the scene ended early"
            self.pids.append(int(line[0]))
            self.netns.append(line[1])

    def end(self, number: int) -> None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{self.pids[number]}\n")
        assert self._program.stdout.readline() == "ended\n"


@contextmanager
def scene(ground: Ground, *connections: int, kind: str = "stay") -> Iterator[Scene]:
    program = ground.lab.start(
        [sys.executable, "-c", SCENE, kind, *map(str, connections)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        start_new_session=True,
    )
    try:
        yield Scene(program)
    finally:
        program.kill()
        program.communicate()


@pytest.fixture
def node() -> Iterator[Ground]:
    """A namespace with processes of its own, so that no other namespace of this host is seen."""
    need_namespace()
    with Lab() as lab:
        need(lab.processes, "a PID namespace, so that the namespaces of this host are not counted")
        yield Ground(lab)


def series(text: str, name: str) -> dict[str, float]:
    """The value of a metric by network namespace."""
    return {dict(labels)["netns"]: number for (each, labels), number in samples(text).items() if each == name}


def test_each_namespace_has_series_of_its_own(node: Ground) -> None:
    """Three with 2, 5 and no connections: pairs, counters and ports apart; what is of the host once."""
    with scene(node, 2, 5, 0) as made, exporting(node, "--all-netns"):
        text = fetched(node)

    found = samples(text)
    used = {
        dict(labels)["netns"]: number
        for (name, labels), number in found.items()
        if name == "fourtuple_pair_sockets" and dict(labels)["role"] == "client"
    }
    assert {netns: used.get(netns) for netns in made.netns} == dict(zip(made.netns, [2, 5, None], strict=True))
    connects = series(text, "fourtuple_connects_total")
    assert [connects[netns] for netns in made.netns] == [2, 5, 0]
    assert set(made.netns) < series(text, "fourtuple_range_ports").keys()
    assert value(text, "fourtuple_netns_counted") == 4
    assert value(text, "fourtuple_netns_idle") == 1
    assert value(text, "fourtuple_netns_closed") == value(text, "fourtuple_netns_left_out") == 0
    for name in ("fourtuple_host_files", "fourtuple_orphans", "fourtuple_census_timestamp_seconds"):
        assert [labels for (each, labels) in found if each == name] == [frozenset()]
    keys = {frozenset(dict(labels)) for (name, labels) in found if name == "fourtuple_usable_ports"}
    assert keys == {frozenset({"netns", "container", "namespace", "pod", "service"})}


def test_promtool_finds_nothing_to_complain_of_in_many_namespaces(node: Ground) -> None:
    need(shutil.which("promtool"), "promtool (package prometheus)")
    with scene(node, 1, 2), exporting(node, "--all-netns"):
        text = fetched(node)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_series_of_a_namespace_end_with_it(node: Ground) -> None:
    """And this is no failure. The others go on, with the same counters."""
    with scene(node, 3, 4) as made, exporting(node, "--all-netns", "--every", "100ms"):
        before = series(fetched(node), "fourtuple_connects_total")
        made.end(0)
        assert wait_until(lambda: made.netns[0] not in series(fetched(node), "fourtuple_connects_total"))
        text = fetched(node)

    assert before[made.netns[0]] == 3
    assert series(text, "fourtuple_connects_total")[made.netns[1]] == before[made.netns[1]] == 4
    assert value(text, "fourtuple_census_failures_total") == 0


def test_namespaces_that_come_and_go_during_a_round_are_no_failures(node: Ground) -> None:
    with scene(node, 1, 1, kind="churn") as made, exporting(node, "--all-netns", "--every", "1ms"):
        first = value(fetched(node), "fourtuple_census_timestamp_seconds")
        assert wait_until(lambda: value(fetched(node), "fourtuple_census_timestamp_seconds") > first + 3)
        text = fetched(node)

    assert value(text, "fourtuple_census_failures_total") == 0
    assert value(text, "fourtuple_census_success") == 1
    assert set(made.netns) <= series(text, "fourtuple_connects_total").keys()


def test_sixty_namespaces_with_a_bound_of_fifty(node: Ground) -> None:
    """No more than fifty have series of their own; no socket is lost in the sum of the others."""
    with scene(node, *[2] * 10, *[1] * 50), exporting(node, "--all-netns", "--top-netns", "50"):
        text = fetched(node)

    sockets = {
        dict(labels)["netns"]: number
        for (name, labels), number in samples(text).items()
        if name == "fourtuple_sockets" and dict(labels)["state"] == "ESTABLISHED"
    }
    assert len(sockets) == 51
    assert sum(sockets.values()) == 2 * (2 * 10 + 50)
    assert value(text, "fourtuple_netns_left_out") == 11  # with that of the exporter, in which nothing is connected
    assert value(text, "fourtuple_netns_counted") == 61
    assert "other" not in series(text, "fourtuple_connects_total")


def test_ports_held_where_nothing_is_connected_are_found(node: Ground) -> None:
    """/proc/net/sockstat does not count sockets that are only bound, so the table is asked for these."""
    code = (
        "import os, signal, socket\n"
        "from fourtuple.kernel.syscalls import CLONE_NEWNET, unshare\n"
        "unshare(CLONE_NEWNET)\n"
        "held = socket.socket(); held.bind(('', 40000))\n"
        "print(os.readlink('/proc/self/ns/net'), flush=True)\n"
        "signal.pause()\n"
    )
    program = node.lab.start([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        netns = program.stdout.readline().strip()
        with exporting(node, "--all-netns", "--every", "100ms"):
            text = fetched(node)
            again = value(text, "fourtuple_census_timestamp_seconds")
            assert wait_until(lambda: value(fetched(node), "fourtuple_census_timestamp_seconds") > again)
            later = fetched(node)
    finally:
        program.kill()
        program.communicate()

    assert series(text, "fourtuple_blocked_ports")[netns] == series(later, "fourtuple_blocked_ports")[netns] == 1


def test_an_ordinary_user_counts_its_own_and_is_told_of_the_others() -> None:
    """Without root the exporter stays in its own namespace, and says so at its start and in a metric."""
    prefix = another_user(LONELY)
    with private_ground() as ground, scene(ground, 1):
        program = ground.lab.start(
            [*prefix, sys.executable, "-m", "fourtuple", "export", "--all-netns"], stderr=subprocess.PIPE, text=True
        )
        try:
            assert program.stderr is not None
            lines = [program.stderr.readline() for _ in range(3)]
            text = fetched(ground)
        finally:
            program.kill()
            program.communicate()

    assert value(text, "fourtuple_netns_counted") == 1
    assert value(text, "fourtuple_netns_closed") >= 1
    assert "network namespaces not counted: " in lines[2]
    assert "root may enter them" in lines[2]


def test_two_places_to_count_in_are_refused(node: Ground) -> None:
    done = node.fourtuple("export", "--all-netns", "--netns", "1")

    assert done.returncode == 2
    assert "--all-netns and --netns" in done.stderr


def test_an_interval_that_is_too_short_is_said(node: Ground) -> None:
    with node.started("export", "--all-netns", "--every", "1ms", wait_for="--every 1 ms is short"):
        pass


IDENTIFIER = "0123456789abcdef" * 4


@contextmanager
def container_of(pid: int) -> Iterator[None]:
    """Put the process into a cgroup as Docker would make it."""
    tops = [Path("/sys/fs/cgroup") / name for name in ("pids", "")]
    top = next((each for each in tops if (each / "cgroup.procs").exists()), tops[-1])
    folder = top / "docker" / IDENTIFIER
    had_parent = folder.parent.exists()
    try:
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        need(False, f"to make a cgroup ({error})")
    try:
        yield
    finally:
        (top / "cgroup.procs").write_text(str(pid))
        folder.rmdir()
        if not had_parent:
            folder.parent.rmdir()


def test_a_real_cgroup_gives_the_label_of_the_container() -> None:
    with (
        private_ground() as ground,
        scene(ground, 2) as made,
        container_of(made.pids[0]),
        exporting(ground, "--all-netns"),
    ):
        text = fetched(ground)

    containers = {
        dict(labels)["netns"]: dict(labels)["container"]
        for (name, labels) in samples(text)
        if name == "fourtuple_range_ports"
    }
    assert containers[made.netns[0]] == IDENTIFIER


def test_a_namespace_that_ended_after_it_was_listed_is_gone() -> None:
    """Also if its PID has become another process's, which is elsewhere."""
    need(os.geteuid() == 0, "root, to enter namespaces")
    here = os.readlink("/proc/self/ns/net")
    with private_ground() as ground, scene(ground, 1, 1) as made:
        found = {place.netns: place for place in places()[0]}
        names = [in_namespace(found[each], lambda: os.readlink("/proc/thread-self/ns/net")) for each in made.netns]
        made.end(0)
        with pytest.raises(NamespaceGoneError):
            in_namespace(found[made.netns[0]], lambda: None)
        reused = type(found[made.netns[0]])(made.netns[0], "reused", made.pids[1], (made.pids[1],))
        with pytest.raises(NamespaceGoneError):
            in_namespace(reused, lambda: None)

    assert names == made.netns
    assert os.readlink("/proc/self/ns/net") == here
