"""The world in which the fleet is tried is what its description says."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourtuple.kernel.netns import places
from tests.conftest import COMMAND, REPOSITORY
from tests.fleet.world import DASK_PORT, World, another_version, need_world
from tests.told import joined, numbers
from tests.waiting import COMMAND_S, wait_until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.mark.timeout(120)
def test_the_scheduler_knows_each_worker_by_its_name_and_address(world: World) -> None:
    """Its log says so, and its kernel has a connection from each machine."""
    machines = world.workers("known1", "known2")

    for machine in machines:
        assert f"{machine.address}:" in world.scheduler.dask_log
        assert f"name: {machine.name}\n" in world.scheduler.dask_log
        assert world.scheduler.established(DASK_PORT)[machine.address] >= 1


def test_machines_are_as_ordered(world: World, tmp_path: Path) -> None:
    """Addresses, port range, open files, CPUs and the version of the package."""
    (machine,) = world.workers(
        "special",
        addresses=3,
        ports=range(20_000, 20_100),
        files=999,
        cpus="0",
        package=another_version(tmp_path, "9.8.7"),
    )
    addresses = machine.run("ip", "-4", "-o", "address", "show", "dev", "eth0").stdout
    assert [line.split()[3] for line in addresses.splitlines()] == [f"{each}/16" for each in machine.addresses]
    assert len(machine.addresses) == 3
    assert machine.run("sysctl", "-n", "net.ipv4.ip_local_port_range").stdout.split() == ["20000", "20099"]
    (pid,) = machine.pids()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if "open files" in line).split()[3:5] == ["999", "999"]
    assert "Cpus_allowed_list:\t0\n" in Path(f"/proc/{pid}/status").read_text()
    assert f"PYTHONPATH={tmp_path}:" in Path(f"/proc/{pid}/environ").read_text()
    assert (tmp_path / "fourtuple/__main__.py").exists()
    path = f"PYTHONPATH={tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    assert machine.run("env", path, *COMMAND, "--version").stdout.split()[-1] == "9.8.7"


def test_connections_are_counted_by_machine_in_the_kernel_of_the_server(world: World) -> None:
    """23 of one machine and 997 of another are 23 and 997 there, and none when they have ended."""
    few, many, server = world.machine("few"), world.machine("many"), world.machine("server")
    to = f"{server.address}:7000"
    with server.serving(to) as served:
        with few.started("hold", "23", to), many.started("hold", "997", to):
            assert server.established(7000) == {few.address: 23, many.address: 997}
            assert server.established(7001) == {}
        assert wait_until(lambda: not server.established(7000))
    assert served["accepted"] == 1020


def test_a_killed_worker_is_gone_for_the_scheduler_and_can_come_back(world: World) -> None:
    """The rest of the machine goes on."""
    (machine,) = world.workers("mortal")
    before = machine.run("ip", "-br", "address").stdout
    machine.kill()
    assert wait_until(lambda: "name: mortal (stimulus" in world.scheduler.dask_log)
    assert not machine.pids()
    assert machine.run("ip", "-br", "address").stdout == before

    machine.start_worker()
    machine.wait_for_dask()
    assert world.scheduler.dask_log.count("name: mortal\n") == 2


def test_a_removed_machine_leaves_neither_a_process_nor_its_namespace(world: World) -> None:
    """What was started on it ends with it; another machine may be added then."""
    (machine,) = world.workers("gone")
    netns = os.readlink(f"/proc/{machine.lab.pid}/ns/net")
    sleeper = machine.lab.start(["sleep", "1000"])
    assert wait_until(lambda: len(machine.pids()) == 2)
    machine.remove()

    assert sleeper.wait()
    assert wait_until(lambda: netns not in {place.netns for place in places()[0]})
    assert wait_until(lambda: "name: gone (stimulus" in world.scheduler.dask_log)
    assert world.machine("next").address not in machine.addresses


def test_a_cable_can_be_pulled_and_put_back(world: World) -> None:
    """No connection can be opened meanwhile, and one that was open is still there."""
    machine, server = world.machine("far"), world.machine("pulled")
    to = f"{server.address}:7000"
    hold = ["hold", "5", to, "--for", "1ms"]
    with server.serving(to), machine.started("hold", "7", to):
        machine.unplug()
        assert "NO-CARRIER" in machine.run("ip", "-br", "link", "show", "eth0").stdout
        assert machine.fourtuple(*hold, "--timeout", "300ms", "--anyway").returncode != 0
        machine.plug()
        assert machine.fourtuple(*hold).returncode == 0
        assert wait_until(lambda: server.established(7000)[machine.address] == 7)


def test_a_disk_can_be_full(world: World) -> None:
    """Nothing can be written where runs are stored, on that machine alone."""
    full, other = world.machine("full"), world.machine("roomy")
    write = "echo hello | tee $XDG_STATE_HOME/file"
    full.fill_disk()
    assert "No space left" in full.run("sh", "-c", write).stderr
    assert other.run("sh", "-c", write).stderr == ""
    full.empty_disk()
    assert full.run("sh", "-c", write).stderr == ""


def test_ports_can_be_in_use(world: World) -> None:
    """Exactly these, until the end of the block."""
    machine = world.machine("busy")
    with machine.ports_in_use(range(30_000, 30_050)):
        listed = machine.run("ss", "-Htln").stdout
        assert len(listed.splitlines()) == 50
    assert not machine.run("ss", "-Htln").stdout


def test_without_a_scheduler_there_is_none_and_it_can_be_started_again(tmp_path: Path) -> None:
    """Workers see it go."""
    with World(tmp_path) as world:
        (machine,) = world.workers("m1")
        world.scheduler.kill()
        machine.wait_for_end()
        assert not world.scheduler.established(DASK_PORT)
        world.start_scheduler()
        machine.start_worker()
        machine.wait_for_dask()


def test_nothing_is_left(tmp_path: Path) -> None:
    """Neither a process nor a mount, whatever was going on."""
    with World(tmp_path) as world:
        machine, _ = world.workers("m1", "m2")
        machine.fill_disk()
        pids = {pid for each in world.machines.values() for pid in each.pids()}
        inside = os.readlink(f"/proc/{world.desk.lab.pid}/ns/pid")
        assert len(pids) == 3
        sleeper = subprocess.Popen(world.desk.lab.command(["sleep", "1000"]))
        assert wait_until(lambda: world.desk.pids())

    assert sleeper.wait()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert inside not in set(_pid_namespaces())
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_make_fleet_shows_one_in_a_minute() -> None:
    """The server's kernel lists all connections before a machine is removed, and after others took its share over."""
    need_world()
    command = [sys.executable, "-m", "tests.fleet", "--connections", "997"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert numbers(done.stdout).count(997) >= 3
    assert re.search(r"held 997 on 4 machines .* lost (249|250), reopened \1", joined(done.stdout))


def _pid_namespaces() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                yield os.readlink(entry / "ns/pid")
