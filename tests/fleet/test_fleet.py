"""Runs of a fleet end to end: machines, their Dask workers, and servers whose kernel is the witness."""

import json
import re
import signal
from collections.abc import Iterator

import pytest

from fourtuple.core.errors import EXIT_SHORT
from tests.fleet.world import Machine, World, by_name, need_clocks
from tests.told import joined
from tests.waiting import wait_until

PORT = 7000
NAMES = ("m1", "m2", "m3", "m4")
ALL_OF_THEM = ("--on", ",".join(NAMES))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("fleet")) as world:
        world.workers(*NAMES)
        yield world


@pytest.fixture(scope="module")
def server(world: World) -> Machine:
    return world.machine("server")


def to(server: Machine) -> str:
    return f"{server.address}:{PORT}"


@pytest.mark.parametrize("wanted", [23, 997, 40_000])
def test_machines_open_exactly_what_is_wanted_together(world: World, server: Machine, wanted: int) -> None:
    """Each its share, which differ by one at most as the machines are alike; the server's kernel lists the same."""
    with (
        server.serving(to(server)) as served,
        world.running("hold", str(wanted), to(server), "--for", "1h", *ALL_OF_THEM, interrupted=True) as fleet,
    ):
        listed = server.established(PORT)
    assert not server.established(PORT)

    record = fleet.record
    assert fleet.code == 0
    assert (record["wanted"], record["held"], record["open_at_end"]) == (wanted, wanted, wanted)
    assert (record["failed"], record["lost"], record["census"]["client"]) == ({}, 0, wanted)
    assert list(fleet.machines) == list(NAMES)
    assert sum(listed.values()) == wanted
    assert max(listed.values()) - min(listed.values()) <= 1
    for name, each in fleet.machines.items():
        address = world.machines[name].address
        assert each["sources"] == [address]
        assert each["wanted"] == each["held"] == each["open_at_end"] == each["census"]["client"] == listed[address]
        assert (each["lost"], each["failed"], each["gone_s"], each["why"]) == (0, {}, None, "")
    assert served["accepted"] == wanted


def test_each_machine_keeps_its_own_record_of_the_same_run(world: World, server: Machine) -> None:
    """Under the number that the record of the whole fleet names; that one is stored where the command ran."""
    with server.serving(to(server)):
        record = world.fleet_record("hold", "23", to(server), "--for", "1ms", *ALL_OF_THEM)
    whole = world.desk.stored()
    assert whole["record"]["held"] == 23
    assert len(whole["record"]["machines"]) == 4
    fleets = {whole["start"]["fleet"]}
    for name, each in by_name(record).items():
        own = world.machines[name].stored(each["run"])
        assert own["record"]["held"] == each["held"]
        assert own["start"]["part"]["machine"] == name
        fleets.add(own["start"]["part"]["fleet"])
    assert len(fleets) == 1


def test_the_logs_of_dask_stay_quiet(world: World, server: Machine) -> None:
    """A run, as it begins and ends, is no error to the scheduler and the workers of its users."""
    with server.serving(to(server)):
        world.fleet_record("hold", "23", to(server), "--for", "1ms", *ALL_OF_THEM)
    for machine in (world.scheduler, *(world.machines[name] for name in NAMES)):
        assert not re.search("ERROR|CRITICAL|Traceback", machine.dask_log)


def test_machines_begin_together_whatever_their_clocks_say(world: World, server: Machine) -> None:
    """A machine whose clock is 1,000 s ahead begins at the same moment, and its times are those of the others."""
    need_clocks(world)
    (ahead,) = world.workers("ahead", ahead_s=1000)
    on = ("--on", "m1,ahead")
    hosts = json.loads(world.fleet("hosts", *on, "--json").stdout)["members"]
    offset_ns, error_ns = next((each["offset_ns"], each["error_ns"]) for each in hosts if each["name"] == "ahead")
    assert abs(offset_ns - 1000 * 10**9) <= error_ns
    with server.serving(to(server)):
        record = world.fleet_record("hold", "401", to(server), "--rate", "400/s", "--for", "1ms", *on)
    assert record["held"] == 401
    # Each took a second for its half. Were they not together, all of them would have taken two.
    assert 0.95 <= record["elapsed_s"] < 1.5
    ahead.remove()


def test_unequal_machines_get_shares_that_fit(world: World, server: Machine) -> None:
    """One has few ports, one has most of its ports in use, one has a single CPU; the sum is exact all the same."""
    (few,) = world.workers("few", ports=range(20_000, 20_100))
    (used,) = world.workers("used", ports=range(20_000, 21_000))
    (slow,) = world.workers("slow", cpus="0")
    on = ("--on", "few,used,slow,m1")
    with used.ports_in_use(range(20_000, 20_800)), server.serving(to(server)):
        with world.running("hold", "2k", to(server), "--for", "1h", *on, interrupted=True) as fleet:
            listed = server.established(PORT)
        assert fleet.code == 0
        shares = {name: listed[world.machines[name].address] for name in ("few", "used", "slow", "m1")}
        assert shares == {name: each["held"] for name, each in fleet.machines.items()}
        assert sum(shares.values()) == fleet.record["held"] == 2000
        assert 0 < shares["few"] <= 100
        assert 0 < shares["used"] <= 200
        assert shares["slow"] < shares["m1"]

        plan = json.loads(world.fleet("plan", "301", to(server), "--on", "few,used", "--json").stdout)
        assert 290 <= plan["split"]["room_max"] <= 300  # Dask's workers use ports, too
        hold = ("hold", to(server), "--on", "few,used", "--for", "1ms")
        room = plan["split"]["room_max"]
        assert world.fleet_record(hold[0], str(room), *hold[1:])["held"] == room
        done = world.fleet(hold[0], str(room + 1), *hold[1:])
        assert done.returncode == EXIT_SHORT
        assert f"room for {room}" in joined(done.stderr)
        assert not server.established(PORT)
    for machine in (few, used, slow):
        machine.remove()


def test_a_machine_without_io_uring_has_room_for_its_files(world: World, server: Machine) -> None:
    """By epoll each connection takes an open file; what one machine has none for, the other opens."""
    (few,) = world.workers("few-files", files=128)
    hold = ("hold", "997", to(server), "--loop", "epoll", "--workers", "1", "--for", "1ms", "--on", "few-files,m1")
    with server.serving(to(server)):
        record = world.fleet_record(*hold)
    machines = by_name(record)
    assert record["held"] == 997 == sum(each["held"] for each in machines.values())
    assert 0 < machines["few-files"]["held"] <= 128
    few.remove()


def test_a_server_that_says_nothing(world: World, server: Machine) -> None:
    """Nothing answers at a full accept queue: what does not connect in time has failed, by machine."""
    listens = f"socket.create_server(('{server.address}', {PORT}), backlog=0)"
    silent = server.start("python3", "-c", f"import signal, socket; s = {listens}; print(flush=True); signal.pause()")
    try:
        assert silent.stdout
        silent.stdout.readline()
        done = world.fleet("hold", "60", to(server), "--timeout", "1s", "--for", "1ms", *ALL_OF_THEM, "--json")
    finally:
        silent.kill()
        silent.communicate()
    record = json.loads(done.stdout)
    failed = record["failed"]
    assert (done.returncode, list(failed)) == (EXIT_SHORT, ["ETIMEDOUT"])
    assert record["held"] + failed["ETIMEDOUT"] == 60
    assert sum(sum(each["failed"].values()) for each in record["machines"]) == failed["ETIMEDOUT"] > 0


def test_stages_are_those_of_all_machines_together(world: World, server: Machine) -> None:
    """At the end of each stage, exactly the wanted number is open."""
    with server.serving(to(server)) as served:
        record = world.fleet_record("hold", to(server), "--stages", "101@500ms, 499@1s, 7@500ms", *ALL_OF_THEM)
    assert [stage["open_at_end"] for stage in record["stages"]] == [101, 499, 7]
    assert all(stage["reached"] for stage in record["stages"])
    assert sum(each["wanted"] for each in record["machines"]) == 499
    assert served["most_open"] <= 499


def test_what_is_required_decides(world: World, server: Machine) -> None:
    """The values are those of all machines together."""
    with server.serving(to(server)):
        hold = ("hold", "97", to(server), "--for", "1ms", *ALL_OF_THEM)
        met = world.fleet_record(*hold, "--require", "held=97,lost=0")
        missed = world.fleet_record(*hold, "--require", "held>=98", code=EXIT_SHORT)
    assert met["outcome"]["reached"]
    assert missed["outcome"]["because"] == ["held"]


def test_ctrl_c_closes_everything_on_all_machines(world: World, server: Machine) -> None:
    """Also while connections are being opened: what was opened is counted, and nothing is left."""
    with server.serving(to(server)) as served:
        with world.begun("hold", "20k", to(server), "--rate", "500/s", *ALL_OF_THEM) as running:
            assert wait_until(lambda: len(server.established(PORT)) == 4)
            running.end(signal.SIGINT)
        assert wait_until(lambda: not server.established(PORT))
    assert running.code == EXIT_SHORT
    record = running.record
    assert record["interrupted"]
    assert "interrupted" in record["outcome"]["because"]
    assert record["held"] + sum(record["failed"].values()) + record["lost_while_opening"] == 20_000
    assert served["accepted"] == record["held"]


def test_connections_are_replaced_on_all_machines(world: World, server: Machine) -> None:
    """The server accepts those that are held, and those that replace others."""
    with server.serving(to(server)) as served:
        record = world.fleet_record("hold", "97", to(server), "--churn", "100/s", "--for", "1s", *ALL_OF_THEM)
    assert record["held"] == record["open_at_end"] == 97
    assert record["replaced"] >= 50
    assert served["accepted"] == 97 + record["replaced"]


def test_a_rate_is_that_of_all_machines_together(world: World, server: Machine) -> None:
    """400 connections at 400 per second take one second, as on one machine."""
    with server.serving(to(server)):
        record = world.fleet_record("hold", "401", to(server), "--rate", "400/s", "--for", "1ms", *ALL_OF_THEM)
    assert record["held"] == 401
    assert record["elapsed_s"] >= 0.95


def test_servers_of_the_fleet_count_the_far_end_of_each_machine(world: World) -> None:
    """`fleet serve` on two machines; what their kernels list is compared by machine."""
    one, two = world.workers("s1", "s2")
    where = [f"{one.address}:{PORT}", f"{two.address}:{PORT}"]
    with world.running("serve", *where, "--on", "s1,s2", interrupted=True) as served:
        on = ("--on", "m1,m2,m3,s1,s2")
        with world.running("hold", "997", *where, "--for", "1h", *on, interrupted=True) as fleet:
            listed = one.established(PORT) + two.established(PORT)
    assert fleet.code == 0
    assert (fleet.record["held"], fleet.record["census"]["server"], fleet.record["census"]["accepted"]) == (997,) * 3
    assert sum(listed.values()) == 997
    for name, each in fleet.machines.items():
        assert each["held"] == each["at_servers"] == listed[world.machines[name].address]
    assert not {"s1", "s2"} & set(fleet.machines)
    assert served.record["accepted"] == 997
    assert sum(each["held"] for each in served.record["machines"]) == served.record["most_open"] == 997
    for machine in (one, two):
        machine.remove()


def test_churn_is_divided(world: World, server: Machine) -> None:
    """Connections come from all machines, and none is left."""
    with server.serving(to(server)) as served:
        churn = ("churn", "800/s", to(server), "--for", "1s", "--arrivals", "even", "--require", "completed=800")
        record = world.fleet_record(*churn, *ALL_OF_THEM)
    assert record["completed"] == record["arrivals"] == served["accepted"]
    assert sum(each["held"] for each in record["machines"]) == record["completed"]
    assert {each["name"]: each["wanted"] for each in record["machines"]} == dict.fromkeys(NAMES, 200)
