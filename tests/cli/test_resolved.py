"""Names with several addresses, as programs meet them: a hosts file in a private mount namespace."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND, Ground, need
from tests.told import joined, numbers

HOSTS = """\
127.0.0.1 localhost one.test three.test mixed.test
127.0.0.2 three.test mixed.test
127.0.0.3 three.test
127.0.0.3 three.test
::1 localhost mixed.test six.test
"""
THREE = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


class Names:
    """Commands that resolve names by HOSTS."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self._ground, self._folder = ground, folder
        (folder / "hosts").write_text(HOSTS)
        (folder / "host.conf").write_text("multi on\n")  # all lines of a name count (host.conf(5))

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        script = 'mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/host.conf" /etc/host.conf && exec "$@"'
        return self._ground.run("unshare", "--mount", "sh", "-c", script, str(self._folder), *command)

    def fourtuple(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.run(*COMMAND, *arguments)

    def record(self, *arguments: str) -> dict[str, Any]:
        done = self.fourtuple(*arguments, "--json")
        assert done.stdout, done.stderr
        record: dict[str, Any] = json.loads(done.stdout)
        return record


@pytest.fixture
def names(ground: Ground, tmp_path: Path) -> Names:
    names = Names(ground, tmp_path)
    done = names.run("true")
    need(done.returncode == 0, f"a private mount namespace ({done.stderr.strip()})")
    return names


def test_limits_and_plan_count_every_address_of_a_name(names: Names) -> None:
    """Three addresses are three times as many connections as one, and the names say so."""
    low, high = map(int, names.run("cat", "/proc/sys/net/ipv4/ip_local_port_range").stdout.split())
    ports = high - low + 1
    three, first = names.record("limits", "three.test:80"), names.record("limits", "three.test:80", "--first-address")
    fit = names.record("plan", str(3 * ports), "three.test:80")
    fit_first = names.record("plan", str(3 * ports), "three.test:80", "--first-address")

    assert (three["destinations"], first["destinations"]) == (3, 1)
    assert three["resolved"] == [{"host": "three.test", "addresses": THREE, "used": THREE}]
    assert first["resolved"] == [{"host": "three.test", "addresses": THREE, "used": THREE[:1]}]
    assert (fit["destinations"], fit["ceiling"], fit["resolved"]) == (3, 3 * ports, three["resolved"])
    assert (fit_first["destinations"], fit_first["ceiling"], fit_first["fits"]) == (1, ports, False)


@pytest.mark.parametrize("command", [["limits"], ["plan", "30"]])
def test_the_addresses_of_a_name_are_shown(names: Names, command: list[str]) -> None:
    said = joined(names.fourtuple(*command, "three.test:80").stdout)
    first = joined(names.fourtuple(*command, "three.test:80", "--first-address").stdout)

    assert "three.test has 3 addresses: 127.0.0.1, 127.0.0.2, 127.0.0.3" in said
    assert "three.test has 3 addresses, 1 used: 127.0.0.1" in first


@pytest.mark.parametrize("name", ["localhost", "one.test", "127.0.0.1"])
def test_one_address_of_each_ip_version_is_not_several(names: Names, name: str) -> None:
    found = names.record("limits", f"{name}:80")

    assert (found["destinations"], found["resolved"]) == (1, [])


def test_all_destinations_have_one_ip_version(names: Names) -> None:
    """The one that all names have: with another name that has only ::1, only that address is used."""
    mixed = names.record("limits", "mixed.test:80", "--from", "127.0.0.1")
    four = names.record("limits", "mixed.test:80", "one.test:80")
    six = names.record("limits", "mixed.test:80", "six.test:80")
    neither = names.fourtuple("limits", "three.test:80", "six.test:80")

    assert mixed["resolved"][0]["used"] == four["resolved"][0]["used"] == THREE[:2]
    assert sorted(mixed["resolved"][0]["addresses"]) == [*THREE[:2], "::1"]
    assert (six["destinations"], six["resolved"][0]["used"]) == (1, ["::1"])
    assert neither.returncode == 2
    assert "IPv4 and IPv6" in joined(neither.stderr)


def test_hold_opens_to_every_address(names: Names, ground: Ground, tmp_path: Path) -> None:
    """In turn to the three servers; with --first-address to the first; and as the plan says that was written."""
    file = tmp_path / "plan.json"
    with ground.serving(*(f"{address}:7777" for address in THREE)):
        three = names.record("hold", "9", "three.test:7777", "--for", "0s")
        words = names.fourtuple("hold", "9", "three.test:7777", "--for", "0s", "--no-store").stdout
        names.fourtuple("plan", "9", "three.test:7777", "--write", str(file))
        names.fourtuple("plan", "9", "three.test:7777", "--first-address", "--write", f"{file}.1")
        planned = [names.record("hold", "--plan", each, "--for", "0s") for each in (str(file), f"{file}.1")]

    assert (three["held"], three["agree"]) == (9, True)
    used = [sorted(pair["used"] for pair in record["sharing"]["pairs"]) for record in (three, *planned)]
    assert used == [[3, 3, 3], [3, 3, 3], [9]]
    assert three["resolved"] == [{"host": "three.test", "addresses": THREE, "used": THREE}]
    assert "three.test has 3 addresses: 127.0.0.1, 127.0.0.2, 127.0.0.3" in joined(words)
    assert json.loads(file.read_text())["destinations"] == ["three.test:7777"]
    assert numbers(words)[0] == 9


def test_a_number_that_only_fits_with_all_addresses_is_refused_with_one(names: Names) -> None:
    """And the plan that is suggested is of that one address."""
    low, high = map(int, names.run("cat", "/proc/sys/net/ipv4/ip_local_port_range").stdout.split())
    done = names.fourtuple("hold", str(high - low + 2), "three.test:7777", "--first-address", "--for", "0s")

    assert done.returncode == 1
    assert f"fourtuple plan {high - low + 2} three.test:7777 --first-address" in joined(done.stderr)


def test_why_examines_the_address_with_the_least_room(names: Names, ground: Ground) -> None:
    """Two connections to the second address, none to the others; the first is examined if that is asked for."""
    asked = ("why", "EADDRNOTAVAIL", "--dest", "three.test:7777")
    with (
        ground.serving("127.0.0.2:7777"),
        ground.started("hold", "2", "127.0.0.2:7777", "--for", "1h"),
    ):
        fullest, first = names.record(*asked), names.record(*asked, "--first-address")
        words = joined(names.fourtuple(*asked).stdout)
        one = names.record("why", "EADDRNOTAVAIL", "--dest", "one.test:7777")

    assert fullest["findings"][0]["target"] == "127.0.0.2:7777"
    assert fullest["resolved"] == [{"host": "three.test", "addresses": THREE, "used": THREE}]
    assert "127.0.0.3; 127.0.0.2:7777 has the least room" in words
    assert (first["findings"][0]["target"], first["resolved"][0]["used"]) == ("127.0.0.1:7777", THREE[:1])
    assert (one["findings"][0]["target"], one["resolved"]) == ("127.0.0.1:7777", [])


def test_an_address_that_refuses_is_a_failure_and_not_left_out(names: Names, ground: Ground) -> None:
    """Only two of the three addresses have a server."""
    with ground.serving(*(f"{address}:7777" for address in THREE[:2])):
        record = names.record("hold", "9", "three.test:7777", "--for", "0s")

    assert (record["held"], record["failed"]) == (6, {"ECONNREFUSED": 3})
