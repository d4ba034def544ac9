"""limits, plan, undo, why as commands, on real sockets: what they say is what then happens, in private namespaces."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourtuple.verbs.lab import own_world, port_facts
from tests.conftest import COMMAND, DENY, Ground, another_user, fourtuple, need, private_ground
from tests.told import joined, numbers

Done = subprocess.CompletedProcess[str]
OK, SHORT, CANNOT = 0, 1, 77
RANGE, RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
# It listens with a lowered limit of files, and accepts what it can once it is told to; says how many, and the errno.
SERVER = """
import resource, socket, sys
listener = socket.create_server(("127.0.0.1", 8000), backlog=1000)
resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
print("listening", flush=True)
sys.stdin.readline()
accepted = []
try:
    while True:
        accepted.append(listener.accept())
except OSError as error:
    print(len(accepted), error.errno, flush=True)
sys.stdin.readline()
"""
# It connects as often as it is told; bind0 calls bind(address, 0) first, as programs do by mistake.
CLIENTS = """
import socket, sys
bind0, plain, port = map(int, sys.argv[1:])
kept = []
for number in range(bind0 + plain):
    kept.append(socket.socket())
    if number < bind0:
        kept[-1].bind(("127.0.0.1", 0))
    kept[-1].connect(("127.0.0.1", port))
print("connected", flush=True)
sys.stdin.readline()
"""
LISTENERS = """
import socket, sys
kept = [socket.create_server(("127.0.0.1", int(port)), backlog=1000) for port in sys.argv[1:]]
print("listening", flush=True)
sys.stdin.readline()
"""
# 20 connections to 127.0.0.1:8000, each closed by the client first.
CLOSED = """
import socket
listener = socket.create_server(("127.0.0.1", 8000))
for _ in range(20):
    client = socket.create_connection(("127.0.0.1", 8000))
    accepted, _ = listener.accept()
    client.close()
    accepted.close()
"""
# It listens at ports of 127.0.0.1 with a backlog, may have so many files, and accepts until it has them.
FEW_FILES = """
import resource, socket, sys
files, backlog, *ports = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
kept = [socket.create_server(("127.0.0.1", port), backlog=backlog) for port in ports]
print("listening", flush=True)
while True:
    try:
        kept.append(kept[0].accept())
    except OSError as error:
        print(error.errno, flush=True)
        sys.stdin.readline()
"""
# How many connections to 127.0.0.1:PORT there are room for, in fact.
FILL = """
import socket
kept = []
try:
    while True:
        kept.append(socket.create_connection(("127.0.0.1", PORT)))
except OSError as error:
    print(len(kept), error.errno)
"""
COMMANDS = """
import json, sys
from click.testing import CliRunner
from fourtuple.cli import cli
asked, environment = json.load(sys.stdin)
done = [CliRunner(env=environment).invoke(cli, arguments) for arguments in asked]
print(json.dumps([[each.exit_code, each.output] for each in done]))
"""


@pytest.fixture(scope="module")
def quiet() -> Iterator[Ground]:
    """A namespace in which nothing is opened, for all tests that only ask; each sets the range that it needs."""
    with private_ground() as ground:
        yield ground


@contextmanager
def program(ground: Ground, code: str, *arguments: object) -> "Iterator[subprocess.Popen[str]]":
    """A Python program in there that has said its first line; killed after the block."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    started = ground.lab.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        assert started.stdout.readline()
        yield started
    finally:
        started.kill()
        started.communicate()


def tell(started: "subprocess.Popen[str]") -> list[int]:
    """It goes on → the numbers of its next line."""
    assert started.stdin is not None
    assert started.stdout is not None
    started.stdin.write("\n")
    started.stdin.flush()
    return [int(word) for word in started.stdout.readline().split()]


def json_of(done: Done, code: int = OK) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (code, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def limits(ground: Ground, *arguments: str) -> dict[str, Any]:
    return json_of(ground.fourtuple("limits", *arguments, "--json"))


def sockets(ground: Ground) -> list[str]:
    """The rows of /proc/net/tcp, TIME_WAIT included: both ends and the state."""
    return sorted(" ".join(line.split()[1:4]) for line in ground.run("cat", "/proc/net/tcp").stdout.splitlines()[1:])


def port_range(ground: Ground) -> list[str]:
    return ground.run("cat", "/proc/sys/net/ipv4/ip_local_port_range").stdout.split()


def set_range(ground: Ground, low: int, high: int) -> None:
    """A range without reserved ports."""
    ground.run("sh", "-c", f"cd /proc/sys/net/ipv4; echo {low} {high} > ip_local_port_range; echo > {RESERVED[9:]}")


def commands(ground: Ground, *several: Sequence[str], **environment: str) -> list[tuple[int, str]]:
    """Exit code and output of each, errors included, in one process."""
    done = ground.run(sys.executable, "-c", COMMANDS, input=json.dumps((several, environment)))
    assert done.returncode == 0, done.stderr
    return [(code, output) for code, output in json.loads(done.stdout)]


def fits_a_terminal(done: Done) -> bool:
    return not too_wide(done.stdout + done.stderr)


def too_wide(output: str) -> list[str]:
    """Its lines that are wider than a terminal; a command to be pasted stays one line, however many ports it names."""
    return [line for line in output.splitlines() if len(line) > 80 and f"sysctl -w {RESERVED}=" not in line]


# limits


def test_limits_as_json_has_every_key_that_is_documented(quiet: Ground) -> None:
    set_range(quiet, 40_000, 40_099)
    found = limits(quiet, "127.0.0.1:8000-8001", "--from", "127.0.0.2-3")
    keys = {"room", "room_max", "binding", "exact", "routes", "verdicts", "remarks", "unknown"}
    route = {"source", "destination", "strategy", "ceiling", "in_use", "room", "room_max"}
    verdict = {
        "limit",
        "scope",
        "value",
        "ceiling",
        "in_use",
        "room",
        "exact",
        "call",
        "errno",
        "counter",
        "fix",
        "needs",
    }

    assert keys <= set(found)
    assert (found["room"], found["room_max"], found["binding"]) == (400, 400, RANGE)
    assert found["exact"] is port_facts().bound_are_listed
    assert all(route <= set(each) for each in found["routes"])
    assert [(each["source"], each["destination"], each["room"]) for each in found["routes"]] == [
        (f"127.0.0.{source}", f"127.0.0.1:{port}", 100) for source in (2, 3) for port in (8000, 8001)
    ]
    assert all(verdict <= set(each) for each in found["verdicts"])
    tightest = found["verdicts"][0]
    assert (tightest["limit"], tightest["scope"], tightest["value"]) == (RANGE, "namespace", "40000 40099")
    assert (tightest["ceiling"], tightest["in_use"], tightest["room"]) == (400, 0, 400)
    assert (tightest["call"], tightest["errno"]) == ("connect()", "EADDRNOTAVAIL")


def test_limits_as_text_begins_with_the_answer_and_its_reason(quiet: Ground) -> None:
    set_range(quiet, 40_000, 40_099)
    done = quiet.fourtuple("limits", "127.0.0.1:8000")
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (OK, "")
    assert numbers(lines[0]) == [100]
    assert lines[0].endswith("127.0.0.1 to 127.0.0.1:8000")
    assert f"({RANGE}: 40000 40099)" in lines[2]
    assert [line.split()[-3:] for line in lines if line.startswith("▸")] == [["100", "0", "100"]]
    assert fits_a_terminal(done)


def test_no_answer_is_wider_than_a_terminal(quiet: Ground) -> None:
    set_range(quiet, 32_768, 60_999)
    asked = [
        "limits --all",
        "limits 127.0.0.1:8000-8003 --all",
        "limits [::1]:8000-8003 --all",
        "limits 127.0.0.1:8000 --strategy bind0",
        "limits 127.0.0.1:8000 --from 127.0.0.1:1024-65535",
        "limits 127.200.100.102:60000-60001 --from 127.200.100.100-101 --all",
        "plan 100k 127.0.0.1:8000",
        "plan 100k [::1]:8000 --from ::1",
        "plan 1M 127.0.0.1:8000-8009 --from 127.0.0.2,127.0.0.4 --churn 20k",
        "plan 100M 127.0.0.1:8000 --machines 100 --nat gcp --nat-addresses 7",
        "plan 100k 127.0.0.1:8000 --from 10.99.99.1-9 --nat aws",
        "plan 1G 127.0.0.1:8000-8999 --strategy plain",
        "why 28232",
        "why 1024 --all",
        "why ETIMEDOUT --all",
        "why EADDRNOTAVAIL --all --dest [::1]:8000",
    ]
    done = commands(quiet, *(each.split() for each in asked))
    wide = [line for _, output in done for line in too_wide(output)]

    assert [code for code, _ in done] == [SHORT if each.startswith("plan") else OK for each in asked]
    assert wide == []


@pytest.mark.parametrize("inside", [True, False])
def test_a_server_accepts_as_many_as_was_said(ground: Ground, inside: bool) -> None:
    """Its limit of files is met with EMFILE, exactly there; asked from its namespace, and from outside of it."""
    code = SERVER.replace("FILES", "61")
    with program(ground, code) as server, program(ground, CLIENTS, 0, 80, 8000):
        asked = ["limits", "--pid", str(server.pid), "--json"]
        found = json_of(ground.fourtuple(*asked) if inside else fourtuple(*asked))
        accepted, error = tell(server)

    assert (found["role"], found["pid"]) == ("server", server.pid)
    assert (found["binding"], found["verdicts"][0]["errno"], error) == ("RLIMIT_NOFILE", "EMFILE", 24)
    assert accepted == found["room"] == found["room_max"] > 40


def test_a_server_that_is_asked_about_in_text(ground: Ground) -> None:
    with program(ground, SERVER.replace("FILES", "61")) as server:
        done = fourtuple("limits", "--pid", str(server.pid))

    assert re.search(rf" python\S* \({server.pid}\)$", done.stdout.splitlines()[0])
    assert "EMFILE (24)" in done.stdout
    assert fits_a_terminal(done)


def test_asked_as_a_client_it_has_the_ports_of_its_namespace(ground: Ground) -> None:
    set_range(ground, 40_000, 40_009)
    with program(ground, SERVER.replace("FILES", "61")) as server:
        asked = ["limits", "127.0.0.1:8000", "--pid", str(server.pid), "--json"]
        found = json_of(fourtuple(*asked))

    assert (found["role"], found["room"], found["binding"]) == ("client", 10, RANGE)
    assert found["netns"] != os.readlink("/proc/self/ns/net")


def test_another_namespace_is_asked_by_the_number_of_a_process(quiet: Ground) -> None:
    set_range(quiet, 40_000, 40_099)
    found = json_of(fourtuple("limits", "127.0.0.1:8000", "--netns", str(quiet.lab.pid), "--json"))

    assert found["netns"] == os.readlink(f"/proc/{quiet.lab.pid}/ns/net")
    assert [route["ceiling"] for route in found["routes"]] == [100]


def test_another_namespace_is_asked_by_its_name() -> None:
    """As `ip netns add` gives it; in a mount namespace of the test's own, with which it goes."""
    need(os.geteuid() == 0, "root, for ip netns")
    need(shutil.which("ip") and shutil.which("unshare"), "ip (iproute2) and unshare (util-linux)")
    script = (
        "mount -t tmpfs none /run && ip netns add lonely &&"
        f" ip netns exec lonely sysctl -qw {RANGE}='40000 40006' && exec \"$@\""
    )
    prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]
    found = json_of(fourtuple("limits", "--netns", "lonely", "--json", prefix=prefix))

    assert [route["ceiling"] for route in found["routes"]] == [7]
    assert not Path("/run/netns/lonely").exists()


def test_an_ordinary_user_is_told_what_is_not_shown(ground: Ground) -> None:
    """Of root's process in another namespace: its network is unknown, its limit is not; its files before Linux 6.2."""
    nobody = another_user()
    with program(ground, SERVER.replace("FILES", "300")) as server, program(ground, CLIENTS, 0, 320, 8000):
        asked = ["limits", "--pid", str(server.pid)]
        found = json_of(fourtuple(*asked, "--json", prefix=nobody))
        told = fourtuple(*asked, prefix=nobody)
        accepted, _ = tell(server)

    counted = os.stat("/proc/self/fd").st_size > 0
    assert {"its network", *["open files"][counted:]} <= set(found["unknown"])
    assert (found["binding"], found["exact"]) == ("RLIMIT_NOFILE", False)
    assert found["room"] < accepted <= found["room_max"] <= 300
    assert (accepted == found["room_max"]) is counted
    assert (told.returncode, told.stderr) == (OK, "")
    assert "unknown" in told.stdout.splitlines()
    assert fits_a_terminal(told)


def test_an_ordinary_user_within_the_namespace_is_told_that_listeners_are_not_shown(ground: Ground) -> None:
    nobody = another_user()
    with program(ground, SERVER.replace("FILES", "300")) as server:
        done = ground.run(*nobody, *COMMAND, "limits", "--pid", str(server.pid), "--json")
    found = json_of(done)

    assert "its network" not in found["unknown"]
    assert found["role"] == "client"  # whose sockets are not shown is not taken for a server
    assert "whether it listens" in found["unknown"]


def test_a_namespace_that_may_not_be_entered(quiet: Ground) -> None:
    """--netns is a wish that cannot be had: not an answer about somewhere else."""
    nobody = another_user()
    done = fourtuple("limits", "--netns", str(quiet.lab.pid), prefix=nobody)

    assert (done.returncode, done.stdout) == (CANNOT, "")
    assert str(quiet.lab.pid) in done.stderr


def test_a_probe_makes_one_number_of_it_and_leaves_nothing_behind(ground: Ground) -> None:
    """Three ports were got by bind(address, 0), two by connect(): which ones, only the kernel can tell."""
    need(own_world().kernel_version >= (6, 8), "IP_LOCAL_PORT_RANGE, and bound sockets that are listed (Linux 6.8)")
    set_range(ground, 40_000, 40_019)
    with program(ground, LISTENERS, 8000, 8001), program(ground, CLIENTS, 3, 2, 8000):
        before = limits(ground, "127.0.0.1:8001")
        there = sockets(ground)
        after = limits(ground, "127.0.0.1:8001", "--probe")
        left = sockets(ground)
        told = ground.fourtuple("limits", "127.0.0.1:8001", "--probe")
        found = int(ground.python(FILL.replace("PORT", "8001")).split()[0])

    assert (before["room"], before["room_max"], before["exact"], before["probed"]) == (15, 20, False, None)
    assert (after["room"], after["room_max"], after["exact"], after["probed"]) == (17, 17, True, 5)
    assert left == there
    assert found == 17
    assert fits_a_terminal(told)


# plan


def plan(ground: Ground, *arguments: str, code: int | None = None) -> dict[str, Any]:
    done = ground.fourtuple("plan", *arguments, "--json")
    assert done.returncode == code or code is None, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_plan_says_what_blocks_and_its_exit_code_too(quiet: Ground) -> None:
    set_range(quiet, 40_000, 40_099)
    fits, lacks = (quiet.fourtuple("plan", wanted, "127.0.0.1:8000") for wanted in ("100", "101"))
    found = {wanted: plan(quiet, wanted, "127.0.0.1:8000") for wanted in ("100", "101")}

    assert (fits.returncode, lacks.returncode) == (OK, SHORT)
    assert numbers(fits.stdout.splitlines()[0]) == [100]
    assert numbers(lacks.stdout.splitlines()[0]) == [101, 1]
    for wanted, says in (("100", "ok"), ("101", "blocks")):
        assert [(c["room"], c["says"]) for c in found[wanted]["checks"] if c["limit"] == RANGE] == [(100, says)]
    assert "127.0.0.1:8000-8001" in lacks.stdout.split()
    assert fits.stderr == lacks.stderr == ""


def test_a_router_that_has_too_few_ports_blocks_too(quiet: Ground) -> None:
    """129,024 fit into the range, for two destinations, and through two addresses of the router; not through one."""
    set_range(quiet, 1024, 65_535)
    asked = ["plan", "129,024", "127.0.0.1:8000-8001", "--nat", "aws", "--nat-addresses"]

    assert [code for code, _ in commands(quiet, [*asked, "1"], [*asked, "2"])] == [SHORT, OK]


HIDDEN = {
    "sys/net/ipv4/ip_local_port_range": RANGE,
    "sys/net/ipv4/ip_local_reserved_ports": RESERVED,
    "sys/fs/nr_open": "fs.nr_open",
    "meminfo": "memory",
}


@pytest.mark.parametrize("file", HIDDEN)
def test_a_setting_that_cannot_be_read_is_not_ok(quiet: Ground, file: str) -> None:
    """It is named, with the reason; and the plan fits once it is assumed, and says so."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    set_range(quiet, 40_000, 40_099)
    hidden = ("unshare", "-m", "sh", "-c", f'mount --bind /dev/null /proc/{file}; exec "$@"', "sh", *COMMAND)
    value = {RANGE: "40000 40099", RESERVED: "", "memory": "2GiB"}.get(HIDDEN[file], "1000000")
    done = quiet.run(*hidden, "plan", "10", "127.0.0.1:8000")
    assumed = quiet.run(*hidden, "plan", "10", "127.0.0.1:8000", "--assume", f"{HIDDEN[file]}={value}")

    assert done.returncode == SHORT
    assert "unknown whether it fits" in joined(done.stdout)
    assert HIDDEN[file] in joined(done.stdout)
    assert assumed.returncode == OK
    assert "assumed" in assumed.stdout.splitlines()[0]
    assert f"{HIDDEN[file]} = " in assumed.stdout
    assert fits_a_terminal(done)


def test_where_no_setting_can_be_read_nothing_fits(quiet: Ground) -> None:
    """Not "0 ports: fits"; and `hold` says what it lacks."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    hidden = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs x /proc/sys; exec "$@"', "sh", *COMMAND)
    done = quiet.run(*hidden, "plan", "10", "127.0.0.1:8000", "--churn", "5/s", "--machines", "2")
    held = quiet.run(*hidden, "hold", "10", "127.0.0.1:8000")

    assert (done.returncode, done.stderr) == (SHORT, "")
    assert "unknown whether it fits, because of source ports" in joined(done.stdout)
    assert "127.0.0.1:8000" in done.stdout
    assert held.returncode == CANNOT
    assert "the range of source ports" in held.stderr


def test_what_is_assumed_is_counted(quiet: Ground) -> None:
    """A range that is not set, and what a cloud does not publish; nothing is applied on these grounds."""
    set_range(quiet, 40_000, 40_099)
    wide = ("--assume", f"{RANGE}=1024 65535")
    nat = ("plan", "100", "127.0.0.1:8000", "--nat", "aws-instance")
    churn = ("plan", "20", "127.0.0.1:8000", "--nat", "aws", "--churn", "10/s")
    asked = [
        ("plan", "1000", "127.0.0.1:8000"),
        ("plan", "1000", "127.0.0.1:8000", *wide),
        nat,
        (*nat, "--assume", "nat.ports=100"),
        (*nat, "--assume", "nat.ports=99"),
        churn,
        (*churn, "--assume", "nat.kept=60"),
        ("plan", "20", "127.0.0.1:8000", "--apply", *wide),
        ("plan", "20", "127.0.0.1:8000", "--assume", "other=1"),
        ("plan", "20", "127.0.0.1:8000", "--assume", "nat.ports=1"),
    ]

    assert [code for code, _ in commands(quiet, *asked)] == [SHORT, OK, SHORT, OK, SHORT, SHORT, OK, 2, 2, 2]


def test_a_gateway_keeps_the_ports_of_closed_connections(quiet: Ground) -> None:
    """20 that are held, and 400 per second, each for 120 s: 48,020 ports of each machine."""
    set_range(quiet, 1024, 65_535)
    nat = plan(quiet, "20", "127.0.0.1:443", "--nat", "gcp", "--churn", "400/s")["nat"]

    assert (nat["each"], nat["slice_ports"], nat["kept_s"]) == (48_020, 48_020, 120)


def test_a_plan_opens_nothing(quiet: Ground) -> None:
    set_range(quiet, 40_000, 40_099)
    quiet.fourtuple("plan", "101", "127.0.0.1:8000")

    assert sockets(quiet) == []


def test_perhaps_is_neither_yes_nor_no(quiet: Ground) -> None:
    """Of an odd range one port may be left out: so many surely fit."""
    set_range(quiet, 40_000, 40_100)
    done = quiet.fourtuple("plan", "101", "127.0.0.1:8000", "--strategy", "plain")
    found = plan(quiet, "101", "127.0.0.1:8000", "--strategy", "plain")

    assert done.returncode == SHORT
    assert numbers(done.stdout.splitlines()[0]) == [101, 100]
    assert (found["says"], found["fits"]) == ("perhaps", False)
    assert (RANGE, "perhaps") in [(check["limit"], check["says"]) for check in found["checks"]]


ENDS = [
    ["127.0.0.9:8000"],
    ["127.0.0.9:8000", "--from", "127.0.0.2,127.0.0.4"],
    ["127.0.0.9:8000", "--from", "127.0.0.2:41000-41019"],
    ["[::1]:8000"],
    ["127.0.0.9:8000", "--strategy", "late"],
    ["127.0.0.9:8000", "--strategy", "noport"],
    ["127.0.0.9:8000", "--strategy", "plain"],
    ["127.0.0.9:8000", "--strategy", "explicit", "--from", "127.0.0.2"],
    ["127.0.0.9:8000-8003", "--strategy", "bind0", "--from", "127.0.0.2"],
    ["127.0.0.9:8000", "--strategy", "bind0", "--from", "127.0.0.2"],
]


@pytest.fixture(scope="module")
def offered(quiet: Ground) -> dict[str, dict[str, bool]]:
    """For all of these ends, what a plan for 35 offers where there are ten ports, and whether it fits once typed."""
    set_range(quiet, 40_000, 40_009)
    plans = commands(quiet, *(["plan", "35", *ends, "--json"] for ends in ENDS))
    ways = {" ".join(ends): json.loads(output)["ways"] for ends, (_, output) in zip(ENDS, plans, strict=True)}
    options = [(ends, way["options"]) for ends in ENDS for way in ways[" ".join(ends)] if way["options"]]
    done = commands(quiet, *(["plan", "35", *typed(ends, option)] for ends, option in options))
    found: dict[str, dict[str, bool]] = {name: {} for name in ways}
    for (ends, option), (code, _) in zip(options, done, strict=True):
        found[" ".join(ends)][option] = code == OK
    return found


@pytest.mark.parametrize("ends", ENDS, ids=" ".join)
def test_what_is_offered_can_be_typed_and_then_it_fits(offered: dict[str, dict[str, bool]], ends: list[str]) -> None:
    """Every option, in the place of the same option now, with all others as they were."""
    tried = offered[" ".join(ends)]

    assert tried or ends == ENDS[-1]  # there it takes two steps
    assert [option for option, fits in tried.items() if not fits] == []


def typed(ends: Sequence[str], option: str) -> list[str]:
    destination, *others = ends
    words = option.split()
    given = dict(zip(others[::2], others[1::2], strict=True))
    if not option.startswith("--"):
        destination, words = option, []
    given |= dict(zip(words[::2], words[1::2], strict=True))
    return [destination, *(word for pair in given.items() for word in pair)]


def test_a_plan_that_memory_stops_says_how_many_are_too_many(quiet: Ground) -> None:
    """Some of it stays free: between that and all of it they are too many, and the number is not below 0."""
    set_range(quiet, 1024, 65_535)
    ends = "127.0.0.1:8000-17999"
    check = next(each for each in plan(quiet, "1", ends)["checks"] if each["limit"].startswith("memory"))
    wanted = int(check["room"] * 1.05)
    done = quiet.fourtuple("plan", str(wanted), ends)
    _, _, too_many, *_ = numbers(joined(done.stdout))

    assert done.returncode == SHORT
    assert 0 < too_many < wanted


def test_more_sources_are_offered_where_the_kernel_does_not_say_who_chose_the_ports(ground: Ground) -> None:
    """All 200 ports of the range are in use. `perhaps`, and what then happens: with these sources they can be held."""
    set_range(ground, 40_000, 40_199)
    with program(ground, LISTENERS, 8000), program(ground, CLIENTS, 0, 200, 8000):
        found = plan(ground, "500", "127.0.0.1:8000", code=SHORT)
        sources = next(way for way in found["ways"] if way["options"].startswith("--from 127.0.0.1-"))
        held = ground.fourtuple(
            "hold", "500", "127.0.0.1:8000", *sources["options"].split(), "--for", "0s", "--anyway", "--json"
        )
        told = ground.fourtuple("plan", "500", "127.0.0.1:8000")

    assert not sources["sure"]
    assert "perhaps" in sources["text"]
    assert sources["options"] in told.stdout
    assert json.loads(held.stdout)["held"] == 500


def test_a_plan_says_that_ports_in_time_wait_become_free(ground: Ground) -> None:
    """The client has closed all 20; without reuse they keep their ports. limits says the same."""
    set_range(ground, 40_000, 40_019)
    ground.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse")
    ground.python(CLOSED)
    found = plan(ground, "15", "127.0.0.1:8000", code=SHORT)
    told = [ground.fourtuple(*asked, "127.0.0.1:8000").stdout for asked in (["plan", "15"], ["limits"])]

    assert found["waiting"] == 20
    assert "wait: 20" in found["ways"][0]["text"]
    assert all("20 of the 4-tuples in use are in TIME_WAIT" in joined(text) for text in told)


def test_a_full_accept_queue_is_no_certain_fit(ground: Ground) -> None:
    """Four and one wait in it, for a server that accepts nothing; limits says the same."""
    set_range(ground, 40_000, 40_199)
    with program(ground, LISTENERS.replace("1000", "4"), 8000), program(ground, CLIENTS, 0, 5, 8000):
        found = plan(ground, "10", "127.0.0.1:8000", code=SHORT)
        told = [joined(ground.fourtuple(*asked, "127.0.0.1:8000").stdout) for asked in (["plan", "10"], ["limits"])]
        elsewhere = plan(ground, "10", "127.0.0.2:8000", code=OK)

    assert (found["says"], found["fits"], found["full"]) == ("perhaps", False, ["127.0.0.1:8000 (5 of 5)"])
    assert all("the accept queue of 127.0.0.1:8000 (5 of 5) is full" in text for text in told)
    assert told[1].startswith("the accept queue of")
    assert elsewhere["full"] == []


def test_a_queue_of_this_host_is_nothing_to_another_host(ground: Ground) -> None:
    """The server listens on every address; the destination is elsewhere, at the same port."""
    everywhere = LISTENERS.replace("1000", "4").replace('"127.0.0.1"', '""')
    with program(ground, everywhere, 8000), program(ground, CLIENTS, 0, 5, 8000):
        there = plan(ground, "10", "192.0.2.9:8000", "--from", "192.0.2.4")
        here = plan(ground, "10", "127.0.0.3:8000")

    assert (there["full"], here["full"]) == ([], ["0.0.0.0:8000 (5 of 5)"])


@pytest.mark.parametrize(("wanted", "code"), [(20, OK), (40, SHORT)])
def test_a_server_here_with_few_files_is_no_fit_for_more(ground: Ground, wanted: int, code: int) -> None:
    """30 files; as many as are left can be accepted. hold finds the same."""
    set_range(ground, 40_000, 40_199)
    with program(ground, FEW_FILES, 30, 1000, 8000) as server:
        found = plan(ground, str(wanted), "127.0.0.1:8000", code=code)
    check = next(each for each in found["checks"] if each["limit"].endswith(f"({server.pid})"))

    assert 20 <= check["room"] == check["room_max"] <= 28
    assert check["says"] == ("ok" if code == OK else "blocks")
    assert any(f"prlimit --pid {server.pid}" in way["text"] for way in found["ways"]) == (code == SHORT)


def test_a_server_here_that_has_all_its_files_fits_none(ground: Ground) -> None:
    set_range(ground, 40_000, 40_199)
    with program(ground, FEW_FILES, 30, 1000, 8000) as server, program(ground, CLIENTS, 0, 30, 8000):
        assert server.stdout is not None
        assert int(server.stdout.readline()) == errno.EMFILE
        done = ground.fourtuple("plan", "1", "127.0.0.1:8000")

    assert done.returncode == SHORT
    assert "does not fit: 1 too many" in done.stdout


def test_a_server_that_has_forked_is_not_judged_by_one_of_its_processes(ground: Ground) -> None:
    """The first process may accept nothing, as nginx's."""
    child = "import os\nif not os.fork():\n    sys.stdin.read()\n    os._exit(0)\n"
    code = FEW_FILES.replace("while True:", f"{child}while True:", 1)
    with program(ground, code, 30, 1000, 8000):
        found = plan(ground, "100", "127.0.0.1:8000", code=OK)

    assert not any("open files of python" in check["title"] for check in found["checks"])


PROCESSES = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command has it: one thread
from fourtuple.engine.loops.choose import choose
from fourtuple.verbs.plan import loop_here
from fourtuple.verbs.survey import look
for memory in ("8000000000", "100000000"):
    seen = look(["127.0.0.1:8000"], on_paper=True, assumed={"memory": memory, "memory.max": memory})
    print(*(loop_here(seen, 20_000, rate_per_s).room.workers for rate_per_s in (None, 1e9, 1000.0)))
"""


def test_a_plan_takes_as_many_processes_as_hold_would(ground: Ground) -> None:
    """20,000 keep two CPUs busy, unless they are opened slowly, or there is no memory for a second process."""
    cpus = len(os.sched_getaffinity(0))
    several = min(cpus, 2)
    lines = [list(map(int, line.split())) for line in ground.python(PROCESSES).splitlines()]

    assert lines == [[several, several, 1], [1, 1, 1]]


def test_a_plan_where_every_port_is_bound(ground: Ground) -> None:
    """It is what a plan is for: nothing of ours needs a port of the range to say so."""
    set_range(ground, 40_000, 40_003)
    with program(ground, LISTENERS, *range(40_000, 40_004)):
        done = ground.fourtuple("plan", "1", "127.0.0.1:8000")
        held = ground.fourtuple("hold", "1", "127.0.0.1:8000", "--for", "0s")

    assert "Traceback" not in done.stderr + held.stderr
    assert numbers(done.stdout.splitlines()[0]) == [1, 1]
    assert (done.returncode, held.returncode) == (SHORT, SHORT)
    assert numbers(held.stderr.splitlines()[0]) == [1, 0]


def test_a_plan_that_is_written_can_be_held(ground: Ground, tmp_path: Path) -> None:
    set_range(ground, 40_000, 40_099)
    asked = [
        "97",
        "127.0.0.1:8000",
        "--from",
        "127.0.0.2",
        "--strategy",
        "noport",
        "--rate",
        "10k",
        "--write",
        "p.json",
    ]
    written = ground.fourtuple("plan", *asked, cwd=tmp_path)
    with ground.serving("127.0.0.1:8000") as server:
        held = ground.fourtuple("hold", "--plan", "p.json", "--for", "0s", "--quiet", "--json", cwd=tmp_path)
    record = json.loads(held.stdout)

    assert written.stdout.splitlines()[0].endswith("fourtuple hold --plan p.json")
    assert fits_a_terminal(written)
    assert json.loads((tmp_path / "p.json").read_text()) == {
        "fourtuple_plan": 1,
        "wanted": 97,
        "destinations": ["127.0.0.1:8000"],
        "sources": ["127.0.0.2"],
        "strategy": "noport",
        "rate_per_s": 10_000.0,
    }
    assert (record["held"], record["strategy"], record["agree"], server["accepted"]) == (97, "noport", True, 97)


# Files, and what is named of them beside the file: the versions, the field; by msgspec where that reads it.
NO_PLANS = (
    ('{"fourtuple_plan": 2, "wanted": 1, "destinations": []}', r"\b2\b.*\b1\b"),
    ('{"fourtuple_plan": 1, "wanted": 0, "destinations": []}', r"\$\.wanted"),
    ('{"fourtuple_plan": 1, "wanted": 1, "destinations": [], "more": 1}', "`more`"),
    ('{"fourtuple_plan": 1, "wanted": 1, "destinations": [], "strategy": "bind0"}', r"\$\.strategy"),
    ("{", "Input data was truncated"),
    ('{"fourtuple_plan": 1, "wanted": 1, "destinations": []}', "--plan"),
)


def test_a_plan_that_is_none(quiet: Ground, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.json" for number in range(len(NO_PLANS))]
    for file, (text, _) in zip(files, NO_PLANS, strict=True):
        file.write_text(text)
    done = commands(quiet, *(["hold", "--plan", str(file)] for file in files))

    assert [code for code, _ in done] == [2] * len(NO_PLANS)
    for file, (_, output), (_, names) in zip(files, done, NO_PLANS, strict=True):
        assert re.search(names, joined(output))
        assert str(file) in joined(output) or names == "--plan"  # the file is well-formed then, and has no destination


def test_hold_refuses_what_cannot_be_and_opens_what_there_is_anyway(ground: Ground) -> None:
    set_range(ground, 40_000, 40_099)
    with ground.serving("127.0.0.1:8000") as refused:
        done = ground.fourtuple("hold", "150", "127.0.0.1:8000", "--for", "0s")
    with ground.serving("127.0.0.1:8000") as server:
        anyway = ground.fourtuple("hold", "150", "127.0.0.1:8000", "--for", "0s", "--anyway", "--json")
    said = joined(done.stderr)

    assert (done.returncode, done.stdout, refused["accepted"]) == (SHORT, "", 0)
    assert numbers(done.stderr.splitlines()[0]) == [150, 100]
    for name in (RANGE, "127.0.0.1:8000-8001", "fourtuple plan 150 127.0.0.1:8000", "--anyway"):
        assert name in said
    assert fits_a_terminal(done)
    assert (anyway.returncode, server["accepted"]) == (SHORT, 100)
    assert json.loads(anyway.stdout)["held"] == 100


# plan --apply, undo


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the commands keep what undo needs."""
    return tmp_path / "state"


def with_state(ground: Ground, state: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> Done:
    return ground.run("env", f"XDG_STATE_HOME={state}", *prefix, *COMMAND, *arguments)


APPLY = ("plan", "150", "127.0.0.1:8000", "--apply")


def stored(state: Path) -> list[Any]:
    found: list[Any] = json.loads((state / "fourtuple/undo.json").read_text())
    return found


def test_what_is_applied_fits_and_undo_brings_back_what_was(quiet: Ground, state: Path) -> None:
    set_range(quiet, 40_000, 40_099)
    applied = with_state(quiet, state, *APPLY)
    wide = port_range(quiet)
    undone = with_state(quiet, state, "undo")
    again = with_state(quiet, state, "undo")

    assert applied.returncode == OK
    reserved, widened, *_ = applied.stdout.replace("\n    ", " ").splitlines()
    assert reserved.startswith(f"set {RESERVED} = ")
    assert [each in widened for each in (RANGE, "1024 65535", "40000 40099")] == [True] * 3
    assert wide == ["1024", "65535"]
    assert (undone.returncode, undone.stderr) == (OK, "")
    assert f"{RANGE} = 40000 40099 " in undone.stdout
    assert port_range(quiet) == ["40000", "40099"]
    assert (again.returncode, again.stderr, RANGE in again.stdout) == (OK, "", False)
    assert stored(state) == []
    assert fits_a_terminal(applied)
    assert fits_a_terminal(undone)


def test_what_is_applied_is_in_the_json(quiet: Ground, state: Path) -> None:
    set_range(quiet, 40_000, 40_099)
    found = json_of(with_state(quiet, state, *APPLY, "--json"))
    _, entry = stored(state)

    assert (found["applied"], found["fits"], found["ways"]) == ([RESERVED, RANGE], True, [])
    assert (entry["name"], entry["before"], entry["after"]) == (RANGE, "40000 40099", "1024 65535")


def test_what_fits_changes_nothing(quiet: Ground, state: Path) -> None:
    set_range(quiet, 40_000, 40_099)
    done = with_state(quiet, state, "plan", "100", "127.0.0.1:8000", "--apply")

    assert (done.returncode, done.stderr, RANGE in done.stdout) == (OK, "", False)
    assert port_range(quiet) == ["40000", "40099"]
    assert not state.exists()


def test_what_somebody_else_has_set_meanwhile_is_left_alone(quiet: Ground, state: Path) -> None:
    set_range(quiet, 40_000, 40_099)
    with_state(quiet, state, *APPLY)
    set_range(quiet, 50_000, 50_099)
    undone = with_state(quiet, state, "undo")

    assert undone.returncode == SHORT
    assert RANGE in joined(undone.stdout)
    assert "50000 50099" in joined(undone.stdout)
    assert port_range(quiet) == ["50000", "50099"]
    assert stored(state) == []
    assert RANGE not in with_state(quiet, state, "undo").stdout
    assert fits_a_terminal(undone)


INCIDENT = """
import socket, sys
kept = []
def connect():
    kept.append(socket.create_connection(("127.0.0.1", 8000)))
try:
    while True:
        connect()
except OSError as error:
    print(len(kept), error.errno, sum(sock.getsockname()[1] == 65007 for sock in kept), flush=True)
sys.stdin.readline()
"""


def test_a_listener_that_restarts_after_all_connections_gets_its_port_again(ground: Ground, state: Path) -> None:
    """As many connections as the applied plan has ports are open, to the last one; the port of a service is not used.

    The widest range is that of 536 ports here, because ordinary users may bind no lower ones.
    """
    set_range(ground, 65_100, 65_149)
    ground.run("sh", "-c", "echo 65000 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
    asked = ("plan", "400", "127.0.0.1:8000", "--apply", "--json")
    with program(ground, LISTENERS, 8000):
        with program(ground, LISTENERS, 65_007):
            applied = json_of(with_state(ground, state, *asked))
        room = next(check["room"] for check in applied["checks"] if check["limit"] == RANGE)
        filled = ground.lab.start([sys.executable, "-c", INCIDENT], stdin=-1, stdout=-1, text=True)
        assert filled.stdout is not None
        count, errno_, taken = map(int, filled.stdout.readline().split())
        with program(ground, LISTENERS, 65_007) as restarted:
            assert restarted.poll() is None
        filled.kill()
        filled.communicate()
    undone = with_state(ground, state, "undo")

    assert applied["applied"] == [RESERVED, RANGE]
    assert (count, errno_, taken) == (room, errno.EADDRNOTAVAIL, 0)
    assert room == 536 - len([port for port in reserved_ports(undone) if port >= 65_000])
    assert port_range(ground) == ["65100", "65149"]
    assert ground.run("cat", "/proc/sys/net/ipv4/ip_local_reserved_ports").stdout.strip() == ""


def reserved_ports(undone: Done) -> list[int]:
    """The ports whose reservation was undone."""
    match = re.search(rf"{RESERVED} = none restored \(was ([\d,\s-]+)\)", joined(undone.stdout))
    assert match
    parts = [part.partition("-") for part in match[1].replace(" ", "").split(",")]
    return [port for first, _, last in parts for port in range(int(first), int(last or first) + 1)]


def test_existing_reservations_are_kept_and_come_back(ground: Ground, state: Path) -> None:
    set_range(ground, 40_000, 40_099)
    ground.run("sh", "-c", "echo 9000-9009 > /proc/sys/net/ipv4/ip_local_reserved_ports")
    with program(ground, LISTENERS, 7000):
        applied = json_of(with_state(ground, state, *APPLY, "--json"))
    reserved = ground.run("cat", "/proc/sys/net/ipv4/ip_local_reserved_ports").stdout.strip().split(",")
    undone = with_state(ground, state, "undo")

    assert applied["fits"]
    assert {"7000", "8000", "9000-9009"} <= set(reserved)
    assert undone.returncode == OK
    assert ground.run("cat", "/proc/sys/net/ipv4/ip_local_reserved_ports").stdout.strip() == "9000-9009"


UNITS = """
mount -t tmpfs x /etc/systemd/system && mkdir /etc/systemd/system/x.socket.d
printf '[Socket]\\nListenStream=7100\\n' > /etc/systemd/system/x.socket
printf '[Socket]\\nListenDatagram=7101\\n' > /etc/systemd/system/x.socket.d/more.conf
printf '[Service]\\nExecStart=/bin/y --port 7102\\n' > /etc/systemd/system/y.service
exec "$@"
"""


def test_what_units_name_and_what_udp_sockets_have_is_reserved_too(ground: Ground) -> None:
    """And the plan says who names it; a UDP socket whose port the kernel chose is nobody's service."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    set_range(ground, 40_000, 40_099)
    code = """
import socket, sys
named, chosen = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
named.bind(("127.0.0.1", 7200))
chosen.connect(("127.0.0.1", 1))
print("bound", flush=True)
sys.stdin.readline()
"""
    with program(ground, code):
        done = ground.run(
            "unshare", "-m", "sh", "-ec", UNITS, "sh", *COMMAND, "plan", "150", "127.0.0.1:8000", "--json"
        )
    reservation = json_of(done, SHORT)["reservation"]
    claims = {(claim["first"], claim["by"]) for claim in reservation["claims"]}

    assert {(7100, "x.socket"), (7101, "x.socket"), (7102, "y.service"), (7200, "UDP socket")} <= claims
    assert [first for first, by in claims if by == "UDP socket"] == [7200]
    assert (8000, "destination here") in claims


def test_changes_are_undone_the_last_one_first(quiet: Ground, state: Path) -> None:
    """Applied twice, with a narrower range set in between: what it was at the first time comes back."""
    set_range(quiet, 40_000, 40_099)
    with_state(quiet, state, *APPLY)
    entries = stored(state)[1:]
    (state / "fourtuple/undo.json").write_text(
        json.dumps([entries[0] | {"after": "30000 30099"}, entries[0] | {"before": "30000 30099"}])
    )
    undone = with_state(quiet, state, "undo")

    assert undone.returncode == OK
    assert port_range(quiet) == ["40000", "40099"]


def test_what_was_set_in_another_namespace_stays_to_be_undone_there(quiet: Ground, state: Path) -> None:
    set_range(quiet, 40_000, 40_099)
    with_state(quiet, state, *APPLY)
    with private_ground() as other:
        set_range(other, 1024, 65_535)
        elsewhere = with_state(other, state, "undo")
        assert port_range(other) == ["1024", "65535"]

    assert elsewhere.returncode == OK
    assert numbers(elsewhere.stdout) == [2]
    assert "--forget" in elsewhere.stdout
    assert [each["name"] for each in stored(state)] == [RESERVED, RANGE]
    assert with_state(quiet, state, "undo").returncode == OK
    assert port_range(quiet) == ["40000", "40099"]


def test_what_was_set_before_a_boot_is_forgotten(quiet: Ground, state: Path) -> None:
    set_range(quiet, 40_000, 40_099)
    with_state(quiet, state, *APPLY)
    (state / "fourtuple/undo.json").write_text(json.dumps([entry | {"boot": "another"} for entry in stored(state)]))
    undone = with_state(quiet, state, "undo")

    assert (undone.returncode, undone.stderr, RANGE in undone.stdout) == (OK, "", False)
    assert port_range(quiet) == ["1024", "65535"]
    assert stored(state) == []


BROKEN = ("{", "[]x", '[{"boot": 1}]', '{"name": "x"}', "")


def test_an_undo_file_that_is_broken_is_said(quiet: Ground, tmp_path: Path) -> None:
    """By undo, and by --apply before it changes anything; the file is left as it is."""
    set_range(quiet, 40_000, 40_099)
    for number, text in enumerate(BROKEN):
        file = tmp_path / str(number) / "fourtuple/undo.json"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        for code, output in commands(quiet, ["undo"], APPLY, XDG_STATE_HOME=str(tmp_path / str(number))):
            assert code == CANNOT
            assert output.startswith("error: ")
            assert str(file) in " ".join(output.split())
        assert file.read_text() == text
    assert port_range(quiet) == ["40000", "40099"]


def test_where_the_old_value_cannot_be_stored_nothing_is_changed(quiet: Ground) -> None:
    set_range(quiet, 40_000, 40_099)
    for folder in ("/proc/no-such-folder", "/dev/null", "/proc/self/status"):
        ((code, output),) = commands(quiet, APPLY, XDG_STATE_HOME=folder)
        assert code == CANNOT
        assert folder in output
    assert port_range(quiet) == ["40000", "40099"]


def test_a_user_who_may_not_set_it_is_told_and_nothing_is_to_be_undone(quiet: Ground) -> None:
    nobody = another_user()
    set_range(quiet, 40_000, 40_099)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's own are for their user alone
        state = Path(place)
        state.chmod(0o777)
        done = with_state(quiet, state, *APPLY, prefix=tuple(nobody))
        undone = with_state(quiet, state, "undo", prefix=tuple(nobody))

    assert done.returncode == SHORT
    assert "Permission denied" in joined(done.stdout)
    assert f"{RANGE} = 1024 65535: the ports of services could not be reserved" in joined(done.stdout)
    assert (undone.returncode, undone.stderr, RANGE in undone.stdout) == (OK, "", False)
    assert port_range(quiet) == ["40000", "40099"]
    assert fits_a_terminal(done)


# why


def test_a_number_that_is_this_namespaces_range(quiet: Ground) -> None:
    """1,500 is nobody's default: it is explained by what is set here."""
    set_range(quiet, 40_000, 41_499)
    done = quiet.fourtuple("why", "1500")
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (OK, "")
    assert lines[0] == "1,500"
    assert lines[2].startswith("1  ")
    assert "40000-41499" in lines[3]
    assert fits_a_terminal(done)
    (found,) = json_of(quiet.fourtuple("why", "1500", "--json"))["findings"]
    assert found["explanations"][0]["cause"] == "port-range"


def test_a_line_is_read_from_standard_input(quiet: Ground) -> None:
    line = "dial tcp 127.0.0.1:8000: connect: cannot assign requested address\n"
    done = quiet.fourtuple("why", "-", "--json", input=line)
    typed = quiet.fourtuple("why", *line.split(), "--json")
    found = json_of(done)

    assert set(found) == {"findings", "unknown", "resolved", "unseen", "pasted"}
    (finding,) = found["findings"]
    named = {name: finding[name] for name in ("text", "number", "error", "call", "destination", "port", "count")}
    assert named == {
        "text": line.strip(),
        "number": None,
        "error": "EADDRNOTAVAIL",
        "call": "connect",
        "destination": "127.0.0.1:8000",
        "port": None,
        "count": 1,
    }
    explanation = {
        "cause", "says", "score", "evidence", "against", "contrary", "notes", "brought", "do", "costs", "needs",
    }  # fmt: skip
    assert finding["explanations"]
    assert all(set(each) == explanation for each in finding["explanations"])
    (same,) = json.loads(typed.stdout)["findings"]
    assert same | {"explanations": []} == finding | {"explanations": []}


def test_what_nobody_knows_ends_with_1(quiet: Ground) -> None:
    texts = ("hello", "7777777", "\x00\x1b[31m", "x" * 300)
    told = commands(quiet, *(["why", text, *how] for text in texts for how in ([], ["--json"])))
    for (code, output), (json_code, record) in zip(told[::2], told[1::2], strict=True):
        assert code == json_code == SHORT
        assert [each["explanations"] for each in json.loads(record)["findings"]] in ([], [[]])
        assert max(map(len, output.splitlines())) <= 80


def test_bytes_that_are_no_text_do_no_harm(quiet: Ground) -> None:
    """A log has what it has."""
    command = [*COMMAND, "why", "-", "--json"]
    program = subprocess.run(
        quiet.lab.command(["env", "PYTHONIOENCODING=utf-8", *command]),
        input=b"\xff\xc3( cannot assign requested address \xe2\x82",
        capture_output=True,
        check=False,
    )

    assert b"Traceback" not in program.stderr
    assert program.returncode == OK
    assert b'"EADDRNOTAVAIL"' in program.stdout


def test_ports_that_are_used_up_are_seen_and_who_has_them(ground: Ground) -> None:
    set_range(ground, 40_000, 40_019)
    asked = ["why", "connect: cannot assign requested address", "--dest", "127.0.0.1:8000"]
    with program(ground, LISTENERS, 8000), program(ground, CLIENTS, 0, 20, 8000) as clients:
        done = ground.fourtuple(*asked, "--json")
        told = ground.fourtuple(*asked)
    first = json_of(done)["findings"][0]["explanations"][0]
    evidence = first["evidence"][-1]

    assert first["cause"] == "port-range"
    assert numbers(evidence)[:2] == [20, 20]
    assert "127.0.0.1:8000" in evidence
    assert re.search(rf" python\S* \({clients.pid}\)", evidence)
    assert evidence in joined(told.stdout)
    assert fits_a_terminal(told)


def test_who_holds_a_port_is_seen(ground: Ground) -> None:
    with program(ground, LISTENERS, 8000) as server:
        found = json_of(ground.fourtuple("why", "listen tcp :8000: bind: address already in use", "--json"))
    first = found["findings"][0]["explanations"][0]

    assert first["cause"] == "port-owned"
    assert re.search(rf"LISTEN 127\.0\.0\.1:8000, python\S* \({server.pid}\)$", first["evidence"][0])


def test_an_accept_queue_that_is_full_is_seen(ground: Ground) -> None:
    """Backlog 2, three wait."""
    code = LISTENERS.replace("backlog=1000", "backlog=2")
    with program(ground, code, 8000), program(ground, CLIENTS, 0, 3, 8000):
        found = json_of(ground.fourtuple("why", "dial tcp 127.0.0.1:8000: i/o timeout", "--json"))
    first = found["findings"][0]["explanations"][0]

    assert first["cause"] == "accept-queue"
    assert first["evidence"][0].endswith("127.0.0.1:8000 (3 of 3)")


def test_a_namespace_is_asked_why_from_outside(quiet: Ground) -> None:
    set_range(quiet, 40_000, 41_499)
    found = json_of(fourtuple("why", "1500", "--netns", str(quiet.lab.pid), "--json"))

    assert found["findings"][0]["explanations"][0]["cause"] == "port-range"


@pytest.mark.parametrize(
    "command", ["limits 127.0.0.1:8000", "plan 1M 127.0.0.1:8000", "hold 1M 127.0.0.1:8000", "why 99"]
)
def test_without_netlink_and_rings_there_is_an_answer(quiet: Ground, command: str) -> None:
    """As in a default container: tables come from /proc, and which other addresses there are is not known."""
    done = quiet.run(sys.executable, DENY, "io_uring,netlink", *COMMAND, *command.split())

    assert "Traceback" not in done.stderr
    assert done.returncode == (OK if command.split()[0] in ("limits", "why") else SHORT)


@pytest.mark.parametrize("left", [1, 0])
def test_the_exit_code_says_whether_one_more_connection_fits(left: int) -> None:
    """1 where no port is left, as a script can ask before it connects."""
    with private_ground() as ground:
        code = (
            "import socket, subprocess, sys;"
            "open('/proc/sys/net/ipv4/ip_local_port_range', 'w').write('40000 40009');"
            "server = socket.create_server(('127.0.0.1', 8000), backlog=64);"
            f"kept = [socket.create_connection(('127.0.0.1', 8000)) for _ in range({10 - left})];"
            f"sys.exit(subprocess.run([*{COMMAND!r}, 'limits', '127.0.0.1:8000']).returncode)"
        )
        done = ground.run(sys.executable, "-c", code)

    assert done.returncode == (0 if left else 1), done.stdout + done.stderr
    assert f"room for {left} more" in done.stdout


def test_messages_that_are_given_count_and_assumed_ones_do_not(ground: Ground) -> None:
    """limits of a server, and plan of its clients: each CPU has time for ten connections."""
    load = ("--every", "10s", "--message-cpu", "1s", "--message-size", "1KiB")
    with program(ground, LISTENERS, 8000) as server:
        pid = ("--pid", str(server.pid), "--role", "server")
        assumed, given = limits(ground, *pid), limits(ground, *pid, *load)
    cpus = own_world().cpus
    found = plan(ground, "1M", "127.0.0.1:8000", *load, code=SHORT)
    rows = [next(row for row in each["verdicts"] if row["limit"] == "CPU") for each in (assumed, given)]

    assert [row["stops"] for row in rows] == [False, True]
    assert (given["binding"], given["room"]) == ("CPU", 10 * cpus)
    assert found["traffic"]["cpus"] == 100_000
    assert next(check["room"] for check in found["checks"] if check["limit"] == "CPU") == 10 * cpus
