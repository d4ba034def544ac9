"""What goes wrong during a run of a fleet is accounted for exactly, and the rest goes on."""

import json
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import fourtuple
from fourtuple.core.errors import EXIT_SHORT, EXIT_USAGE
from tests.fleet.world import Machine, Running, World, another_version, by_name
from tests.waiting import wait_until

PORT = 7000
WANTED = 997
PULLED_S = 20.0
NAMES = ("m1", "m2", "m3")
ALL_OF_THEM = ("--on", ",".join(NAMES), "--for", "1h")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("fleet")) as world:
        world.workers("m1", "m2")
        yield world


@pytest.fixture
def m3(world: World) -> Iterator[Machine]:
    """A machine that may come to harm."""
    (machine,) = world.workers("m3")
    yield machine
    if "m3" in world.machines:
        machine.remove()


@pytest.fixture(scope="module")
def server(world: World) -> Machine:
    return world.machine("server")


def to(server: Machine) -> str:
    return f"{server.address}:{PORT}"


def connected(machine: Machine, address: str) -> int:
    """How many connections to that address the machine's kernel lists as established."""
    return machine.established()[address]


def has_ended(machine: Machine) -> bool:
    return not machine.pids()


def ended(running: Running) -> dict[str, int]:
    """The run after Ctrl-C → what each machine held."""
    running.end(signal.SIGINT)
    return {name: each["held"] for name, each in running.machines.items()}


def assert_lost_m3(running: Running, share: int) -> None:
    """m3 is gone with everything that it had; the others had, and have, theirs."""
    record, machines = running.record, running.machines
    assert running.code == EXIT_SHORT
    assert not record["outcome"]["reached"]
    assert (record["wanted"], record["held"], record["lost"]) == (WANTED, WANTED, share)
    assert record["open_at_end"] == WANTED - share
    assert (machines["m3"]["wanted"], machines["m3"]["held"], machines["m3"]["lost"]) == (share, share, share)
    assert machines["m3"]["open_at_end"] == 0
    assert machines["m3"]["gone_s"] > 0
    assert machines["m3"]["why"]
    for name in ("m1", "m2"):
        assert machines[name]["open_at_end"] == machines[name]["held"] == machines[name]["wanted"]
        assert (machines[name]["gone_s"], machines[name]["why"], machines[name]["lost"]) == (None, "", 0)


def test_a_killed_worker_takes_its_share_with_it(world: World, server: Machine, m3: Machine) -> None:
    """The process that had the connections closes them in order, and keeps its own record."""
    with server.serving(to(server)) as served, world.running("hold", str(WANTED), to(server), *ALL_OF_THEM) as running:
        before = server.established(PORT)
        m3.kill()
        assert wait_until(lambda: sum(server.established(PORT).values()) == WANTED - before[m3.address])
        assert wait_until(lambda: not m3.pids())
        assert server.established(PORT) == {k: v for k, v in before.items() if k != m3.address}
        ended(running)
    assert_lost_m3(running, before[m3.address])
    own = m3.stored()
    assert (own["record"]["held"], own["record"]["interrupted"]) == (before[m3.address], True)
    assert served["accepted"] == WANTED


def test_a_removed_machine_takes_its_share_with_it(world: World, server: Machine, m3: Machine) -> None:
    """Every process of the machine is killed at once; nothing is left of it."""
    with server.serving(to(server)) as served, world.running("hold", str(WANTED), to(server), *ALL_OF_THEM) as running:
        share = server.established(PORT)[m3.address]
        m3.remove()
        running.wait_for("machine m3 is gone: ")
        assert wait_until(lambda: sum(server.established(PORT).values()) == WANTED - share)
        ended(running)
    assert_lost_m3(running, share)
    assert not server.established(PORT)
    assert served["accepted"] == WANTED


@pytest.mark.parametrize("replaced", [False, True])
def test_a_machine_may_be_gone_while_connections_are_opened(
    world: World, server: Machine, m3: Machine, *, replaced: bool
) -> None:
    """What it had opened is lost, and what it had not opened failed; others open both at its rate with --replace."""
    hold = ("hold", str(WANTED), to(server), "--rate", "600/s", "--for", "1s", *ALL_OF_THEM[:2])
    with server.serving(to(server)), world.begun(*hold, *["--replace"] * replaced) as running:
        assert wait_until(lambda: server.established(PORT)[m3.address] >= 50)
        m3.remove()
        running.end()
    record, share = running.record, running.machines["m3"]
    assert share["lost"] > 0  # as in its last sample, which may be older than the count
    assert sum(each["lost"] for each in record["machines"]) == record["lost"] == share["lost"]
    if replaced:
        assert running.code == 0
        assert (record["held"], record["open_at_end"], record["failed"]) == (WANTED, WANTED, {})
        assert sum(each["held"] for each in record["machines"] if each["instead_of"]) == share["wanted"]
        # A third of the rate, which those that take over have together.
        opening_s = (share["wanted"] - 1) / 200
        assert max(each["elapsed_s"] for each in record["machines"] if each["instead_of"]) > 0.9 * opening_s
    else:
        assert running.code == EXIT_SHORT
        assert record["held"] == record["open_at_end"] == WANTED - share["wanted"]
        assert record["failed"] == share["failed"] == {"ECANCELED": share["wanted"] - share["lost"]}


def test_a_machine_may_be_gone_from_a_churn(world: World, server: Machine, m3: Machine) -> None:
    """What was due there until then is its share: completed, or lost with it."""
    churn = ("churn", "300/s", to(server), "--for", "3s", "--lifetime", "500ms", *ALL_OF_THEM[:2])
    with server.serving(to(server)), world.begun(*churn) as running:
        assert wait_until(lambda: server.established(PORT)[m3.address] >= 30)
        m3.remove()
        running.end()
    record, machines = running.record, running.machines
    assert running.code == EXIT_SHORT
    assert machines["m3"]["lost"] == record["lost"] > 0
    assert machines["m3"]["wanted"] == machines["m3"]["held"] + machines["m3"]["lost"]
    for number in ("m1", "m2"):
        assert machines[number]["held"] == machines[number]["wanted"]
    assert sum(each["held"] for each in machines.values()) == record["completed"]
    assert sum(each["wanted"] for each in machines.values()) == record["arrivals"]


def test_stages_cannot_be_taken_over(world: World, server: Machine) -> None:
    """So nobody asks for it in vain."""
    done = world.fleet("hold", to(server), "--stages", "97@1s,7@1s", "--replace", *ALL_OF_THEM[:2])
    assert done.returncode == EXIT_USAGE
    assert "--stages" in done.stderr


def test_the_share_of_a_machine_that_is_gone_is_given_to_others(world: World, server: Machine, m3: Machine) -> None:
    """With --replace; the server sees each connection once, and those of the machine twice."""
    with server.serving(to(server)) as served:
        with world.running("hold", str(WANTED), to(server), *ALL_OF_THEM, "--replace") as running:
            before = server.established(PORT)
            share = before[m3.address]
            m3.remove()
            assert wait_until(lambda: not server.established(PORT)[m3.address])
            assert wait_until(lambda: server.established(PORT).total() == WANTED)
            after = server.established(PORT)
            ended(running)
        assert wait_until(lambda: not server.established(PORT))
    record = running.record
    assert set(after) == set(before) - {m3.address}
    assert (record["wanted"], record["held"], record["lost"]) == (WANTED, WANTED, share)
    assert (record["reconnected"], record["open_at_end"]) == (share, WANTED)
    heirs = [each for each in record["machines"] if each["instead_of"] == "m3"]
    assert sum(each["held"] for each in heirs) == share
    assert {source for each in heirs for source in each["sources"]} == set(after)
    assert served["accepted"] == WANTED + share


def test_a_server_of_the_fleet_may_be_gone(world: World, m3: Machine) -> None:
    """The machines that held connections to it lose exactly these; the other server goes on."""
    (other,) = world.workers("other")
    where = [f"{machine.address}:{PORT}" for machine in (m3, other)]
    with world.running("serve", *where, "--on", "m3,other", interrupted=True) as serving:
        with world.begun("hold", str(WANTED), *where, "--for", "1h", "--on", "m1,m2,m3,other") as running:
            running.wait_for("holding")
            share = m3.established(PORT)
            m3.remove()
            serving.wait_for("machine m3 is gone: ")
            assert wait_until(lambda: not any(connected(world.machines[name], m3.address) for name in ("m1", "m2")))
            held = ended(running)
        assert wait_until(lambda: not other.established(PORT))
    record, machines = running.record, running.machines
    assert (record["held"], sum(held.values())) == (WANTED, WANTED)
    assert record["lost"] == sum(share.values()) == WANTED - record["open_at_end"]
    for name in ("m1", "m2"):
        assert machines[name]["lost"] == share[world.machines[name].address]
    assert (serving.code, serving.machines["other"]["wanted"]) == (EXIT_SHORT, WANTED - sum(share.values()))
    assert serving.machines["m3"]["why"]
    other.remove()


def test_a_machine_with_another_version_takes_no_part(world: World, server: Machine, tmp_path: Path) -> None:
    """The run goes on without it, and says so; if there is no other machine, that is an error."""
    (other,) = world.workers("other", package=another_version(tmp_path, "9.8.7"))
    with server.serving(to(server)):
        hold = ("hold", "23", to(server), "--for", "1ms", "--json", "--on")
        done = world.fleet(*hold, "m1,other")
        alone = world.fleet(*hold, "other")
    assert done.returncode == 0, done.stderr
    for each in (done, alone):
        assert "9.8.7" in each.stderr
        assert fourtuple.__version__ in each.stderr
        assert "other" in each.stderr
    assert alone.returncode not in (0, EXIT_SHORT)
    assert json.loads(alone.stdout)["error"]["exit_code"] == alone.returncode
    other.remove()


def test_a_full_disk_stops_no_run(world: World, server: Machine, m3: Machine) -> None:
    """The machine does its share, and has no record of its own."""
    m3.fill_disk()
    with server.serving(to(server)):
        record = world.fleet_record("hold", str(WANTED), to(server), "--on", ",".join(NAMES), "--for", "1ms")
    machines = by_name(record)
    assert record["held"] == WANTED
    assert machines["m3"]["held"] == machines["m3"]["wanted"] > 300
    assert machines["m3"]["run"] is None
    assert machines["m1"]["run"]
    m3.empty_disk()


def test_a_pulled_cable_costs_nothing_for_20_s_and_the_share_after_30_s(
    world: World, server: Machine, m3: Machine
) -> None:
    """The connections of a machine that comes back are there as before; one that does not is counted out.

    After 30 s, either the coordinator notices its silence, or Dask that its TCP connection has had no answer.
    """
    m1 = world.machines["m1"]
    (m4,) = world.workers("m4")
    on = ("--on", "m1,m3,m4", "--for", "1h")
    with server.serving(to(server)), world.running("hold", str(WANTED), to(server), *on) as running:
        before = server.established(PORT)
        m3.unplug()
        m4.unplug()
        m4.remove()
        time.sleep(PULLED_S)
        m3.plug()
        assert server.established(PORT) == before  # TCP itself notices nothing
        running.wait_for("machine m4 is gone: ")
        ended(running)
        assert wait_until(lambda: not server.established(PORT)[m3.address])
        assert not server.established(PORT)[m1.address]
    machines = running.machines
    assert (machines["m3"]["why"], machines["m3"]["lost"]) == ("", 0)
    assert machines["m3"]["held"] == machines["m3"]["open_at_end"] == before[m3.address]
    assert machines["m4"]["lost"] == machines["m4"]["held"] == before[m4.address]
    assert 29 <= machines["m4"]["gone_s"] <= 60
    assert running.record["lost"] == before[m4.address]


def test_without_its_scheduler_a_fleet_closes_in_order_and_is_collected_later(tmp_path: Path) -> None:
    """Each machine keeps its own record; `fleet collect` makes one of them."""
    with World(tmp_path) as world:
        machines = world.workers(*NAMES)
        server = world.machine("server")
        with server.serving(to(server)) as served:
            with world.begun("hold", str(WANTED), to(server), *ALL_OF_THEM) as running:
                running.wait_for("holding")
                before = server.established(PORT)
                world.scheduler.kill()
                running.end()
            assert wait_until(lambda: not server.established(PORT))
        assert running.code == EXIT_SHORT
        assert all("scheduler" in each["why"] for each in running.machines.values())
        for machine in machines:
            assert wait_until(partial(has_ended, machine))
            assert machine.stored()["record"]["held"] == before[machine.address]
            machine.wait_for_end()
        world.start_scheduler()
        for machine in machines:
            machine.start_worker()
        for machine in machines:
            machine.wait_for_dask()
        collected = world.fleet_record("collect", str(running.record["run"]))
    assert collected["held"] == WANTED == served["accepted"]
    assert {name: each["held"] for name, each in by_name(collected).items()} == {
        machine.name: before[machine.address] for machine in machines
    }
