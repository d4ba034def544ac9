"""What a fleet says about its machines before anything is opened: `fleet hosts`, `fleet limits` and `fleet plan`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import fourtuple
from fourtuple.core.errors import EXIT_SHORT, EXIT_USAGE
from tests.fleet.world import Machine, World, another_version

PORT = 7000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("fleet")) as world:
        world.workers("m1", addresses=3)
        world.workers("m2", ports=range(20_000, 20_100), cpus="0", files=999)
        world.workers("s1")
        yield world


@pytest.fixture(scope="module")
def server(world: World) -> Machine:
    return world.machine("server")


def answer(world: World, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = world.fleet(*arguments, "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_hosts_are_as_they_were_made(world: World) -> None:
    """Addresses, CPUs and files; clocks differ by no more than the error, as all of them are one."""
    found = {each["name"]: each for each in answer(world, "hosts")["members"]}
    assert list(found) == ["m1", "m2", "s1"]
    for name, each in found.items():
        assert each["addresses"] == world.machines[name].addresses
        assert each["fourtuple"] == fourtuple.__version__
        assert abs(each["offset_ns"]) <= each["error_ns"]
    assert (found["m2"]["cpus"], found["m2"]["files"]) == (1, 999)
    assert len({each["namespace"] for each in found.values()}) == 3


def test_workers_that_take_no_part_have_a_reason(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another version, and a second worker where one is already."""
    (old,) = world.workers("old", package=another_version(tmp_path_factory.mktemp("old"), "9.8.7"))
    with world.machines["m1"].another_worker("twin"):
        unused = {each["name"]: each["why"] for each in answer(world, "hosts")["unused"]}
    old.remove()
    assert sorted(unused) == ["old", "twin"]
    assert "9.8.7" in unused["old"]
    assert fourtuple.__version__ in unused["old"]
    assert "m1" in unused["twin"]
    assert answer(world, "hosts")["unused"] == []


def test_limits_are_those_of_each_machine_and_their_sum(world: World, server: Machine) -> None:
    """m2 has the ports of its range, without the two or more that Dask's worker has."""
    to = f"{server.address}:{PORT}"
    found = answer(world, "limits", to, "--on", "m1,m2")
    m1, m2 = found["offers"]
    assert (m1["machine"], m2["machine"]) == ("m1", "m2")
    assert 90 <= m2["room"] <= m2["room_max"] <= 98
    assert 28_000 <= m1["room"] <= m1["room_max"] <= 60_999 - 32_768 + 1
    assert (found["room"], found["room_max"]) == (m1["room"] + m2["room"], m1["room_max"] + m2["room_max"])
    assert found["tightest"] == {"source ports": ["m1", "m2"]}


def test_a_plan_says_who_opens_how_many(world: World, server: Machine) -> None:
    """The sum is exact, nobody is to open more than fits, and what is lacking is a number."""
    to = f"{server.address}:{PORT}"
    plan = answer(world, "plan", "997", to, "--on", "m1,m2")
    shares = {each["machine"]: each["wanted"] for each in plan["split"]["shares"]}
    assert plan["fits"]
    assert sum(shares.values()) == 997
    assert shares["m2"] <= 100
    lacking = answer(world, "plan", "1M", to, "--on", "m1,m2", code=EXIT_SHORT)
    assert not lacking["fits"]
    assert lacking["split"]["lacking"] == 1_000_000 - lacking["split"]["room"]
    assert lacking["ways"]


def test_a_machine_that_has_the_destinations_opens_nothing(world: World) -> None:
    """Unless it is the only one."""
    to = f"{world.machines['s1'].address}:{PORT}"
    plan = answer(world, "plan", "97", to)
    assert [each["machine"] for each in plan["split"]["shares"]] == ["m1", "m2"]
    assert plan["split"]["servers"] == ["s1"]


def test_a_name_that_no_machine_has_is_an_error(world: World) -> None:
    """The names that there are help."""
    done = world.fleet("hosts", "--on", "m1,m9")
    assert done.returncode == EXIT_USAGE
    assert "m9" in done.stderr
    assert "m2" in done.stderr
