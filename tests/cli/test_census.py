"""`census` as a command, on real sockets: against what was made, against `ss`, and against what `limits` says."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.sockets.owners import NAMELESS
from fourtuple.core.why.causes import CAUSES
from fourtuple.kernel.uring import features
from fourtuple.verbs.lab import port_facts
from tests.cli.test_limits import COMMANDS, commands, json_of, program
from tests.conftest import COMMAND, DENY, Ground, another_user, fourtuple, need, private_ground
from tests.labs.known import (
    BOUND,
    CLIENT,
    COMMS,
    CONNECTED,
    HIGH,
    INSIDE,
    LISTENS,
    LOW,
    OUTSIDE,
    PAIRS,
    SERVER,
    SERVES,
    Key,
    Made,
    Row,
    pair_counts,
    rows_of_ss,
    state_counts,
)
from tests.told import LAST_COLUMN, QUIT, joined, numbers, sorted_by
from tests.waiting import PATIENCE_S

OK, WRONG = 0, 2
WORLDS = 200
FIRST = int(os.environ.get("FOURTUPLE_SEED", "1"))  # FOURTUPLE_SEED=… begins elsewhere
ESCAPE = "\x1b"
# A listener at 127.0.0.9:8000 and clients: each line of standard input opens so many, or closes all of them.
CLIENTS = """
import socket, sys
from tests.labs.known import IP_BIND_ADDRESS_NO_PORT
listener = socket.create_server(("127.0.0.9", 8000), backlog=4000)
kept = []
def client(source):
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((source, 0))
    sock.connect(("127.0.0.9", 8000))
    return sock, listener.accept()[0]
print("listening", flush=True)
for line in sys.stdin:
    source, count, close = line.split()
    for _ in range(int(count)):
        near, far = client(source)
        if int(close):
            near.close()
            far.recv(1)
            far.close()
        else:
            kept += near, far
    print("done", flush=True)
"""
# It opens connections and closes them, as fast as it can, for ever.
CHURN = """
import socket, struct
listener = socket.create_server(("127.0.0.9", 8000), backlog=4000)
print("listening", flush=True)
while True:
    with socket.create_connection(("127.0.0.9", 8000)) as client:
        listener.accept()[0].close()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""
# SYNs to where nobody is.
BLACKHOLE = """
import socket, sys
kept = []
for number in range(int(sys.argv[1])):
    kept.append(socket.socket())
    kept[-1].setblocking(False)
    kept[-1].setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    kept[-1].bind(("10.9.0.1", 0))
    assert kept[-1].connect_ex(("10.9.0.2", 8000)) == 115
print("trying", flush=True)
sys.stdin.readline()
"""
# The same library call as `census`, right after 5 TIME_WAITs, and when they are old; then as many as there are.
TIME_WAITS = """
import json, socket, time
from fourtuple.verbs.census import census
from tests.labs.known import Maker, SERVER, client_closes
from tests.labs.worlds import write_sysctl
write_sysctl("net.ipv4.ip_local_port_range", "40000 40019")
maker = Maker()
listener = maker.listener(SERVER, 8000, 100)
census()  # what it imports is there then
for _ in range(5):
    maker.connect(listener, "127.0.0.1", (SERVER, 8000), client_closes)
looks = [census().rows]
time.sleep(1.2)
looks.append(census().rows)
found = 0
try:
    while True:
        maker.clients.append(maker.client("127.0.0.1", (SERVER, 8000)))
        found += 1
except OSError:
    pass
looks.append(census().rows)
clients = [[row for row in rows if row.role == "client"] for rows in looks]
print(json.dumps([[[row.time_wait, row.left.most] for row in rows] for rows in clients] + [found]))
"""
# Two namespaces with 5 and 7 connections each, in a PID namespace where there is nothing else; the command sees all.
ELSEWHERE = f"""
import json, subprocess, sys
from fourtuple.verbs.lab import Lab
from tests.cli.test_census import CLIENTS
with Lab() as one, Lab() as other:
    for lab, count in ((one, 5), (other, 7)):
        inside = lab.start([sys.executable, "-c", CLIENTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        inside.stdin.write(f"127.0.0.1 {{count}} 0\\n")
        inside.stdin.flush()
        assert [inside.stdout.readline() for _ in range(2)][-1] == "done\\n"
    for how in ([], ["--json"]):
        done = subprocess.run([*{COMMAND!r}, "census", "--all-netns", *how], capture_output=True, text=True)
        print(json.dumps([done.returncode, done.stdout, done.stderr]))
"""


TO: dict[str, Callable[[Key], bool]] = {
    "--to 127.0.0.9": lambda key: "127.0.0.9:" in key[2],
    "--to 127.0.0.9:8001": lambda key: key[2] == "127.0.0.9:8001",
    "--to 127.0.0.9:8000-8001": lambda key: key[2] in ("127.0.0.9:8000", "127.0.0.9:8001"),
    "--to 127.0.0.0/24": lambda key: "127.0.0.9:" in key[2],
    "--to 127.0.0.0/29": lambda key: False,
    "--to :8006": lambda key: key[2] == "[::1]:8006",
    "--to [::1]:8006,127.0.0.9:8001": lambda key: key[2] in ("[::1]:8006", "127.0.0.9:8001"),
    "--to :8001 --to :8006": lambda key: key[2] in ("[::1]:8006", "127.0.0.9:8001"),
    "--from 127.0.0.2": lambda key: key[1] == "127.0.0.2",
    "--from 127.0.0.2-3": lambda key: key[1] in ("127.0.0.2", "127.0.0.3"),
    "--from ::1": lambda key: key[1] == "::1",
    "--from 127.0.0.1 --to :8000": lambda key: key[1:] == ("127.0.0.1", "127.0.0.9:8000"),
}
KINDS = {"pair": "pairs", "destination": "destinations", "port": "ports", "state": "states", "process": "processes"}
STATES = {
    "established": ["ESTABLISHED"],
    "time-wait": ["TIME_WAIT"],
    "TIME_WAIT": ["TIME_WAIT"],
    "close-wait,fin-wait2": ["CLOSE_WAIT", "FIN_WAIT2"],
}
ASKED = [
    *("", "--json", "--top 1", "--top 2", "--top 2 --json", "--top 50", "--to :1", "--state established"),
    *(f"--by {by}{how}" for by in KINDS for how in ("", " --csv", " --json")),
    *(f"{each} --json" for each in TO),
    *(f"--state {each} --json" for each in STATES),
]


@dataclass(frozen=True)
class Known:
    """A lab in which every socket is known, and what was said of it right after it was made.

    said: by `census --json`; rows: by `ss`; outputs: by `census` with each of ASKED
    """

    ground: Ground
    made: Made
    said: dict[str, Any]
    rows: list[Row]
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def pairs(self) -> dict[Key, dict[str, Any]]:
        return pairs_of(self.said)


def pairs_of(said: dict[str, Any]) -> dict[Key, dict[str, Any]]:
    found = {(row["role"], row["source"], row["destination"]): row for row in said["pairs"]}
    assert len(found) == len(said["pairs"])
    return found


@contextmanager
def known_lab(count: int) -> Iterator[Known]:
    with private_ground() as ground:
        command = [sys.executable, "-m", "tests.labs.known", str(count)]
        made = ground.lab.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert made.stdout is not None
            line = made.stdout.readline()
            said = census(ground)
            listed = ground.run("ss", "-Htan").stdout
            yield Known(ground, Made(**json.loads(line)), said, list(rows_of_ss(listed)))
        finally:
            made.communicate("")


@pytest.fixture(scope="module")
def small() -> Iterator[Known]:
    with known_lab(23) as known:
        done = commands(known.ground, *(["census", *each.split()] for each in ASKED))
        assert [code for code, _ in done] == [OK] * len(done), done
        yield replace(known, outputs={asked: output for asked, (_, output) in zip(ASKED, done, strict=True)})


@pytest.fixture(scope="module", params=[23, 997])
def known(request: pytest.FixtureRequest) -> Iterator[Known]:
    if request.param == 23:
        yield request.getfixturevalue("small")
    else:
        with known_lab(request.param) as known:
            yield known


def census(ground: Ground, *arguments: str) -> dict[str, Any]:
    return json_of(ground.fourtuple("census", "--json", *arguments))


def set_sysctl(ground: Ground, name: str, value: object) -> None:
    ground.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}")


def ask(started: "subprocess.Popen[str]", *words: object) -> None:
    assert started.stdin is not None
    assert started.stdout is not None
    started.stdin.write(" ".join(map(str, words)) + "\n")
    started.stdin.flush()
    assert started.stdout.readline() == "done\n"


@contextmanager
def watching(ground: Ground, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    command = [*COMMAND, "census", *arguments]
    started = ground.lab.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def wide(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80]


# Against what was made, and against ss


def test_each_pair_has_the_connections_that_were_made(known: Known) -> None:
    """By state, at both ends; those of a socket of IPv6 that talks IPv4 are among those of IPv4."""
    expected = known.made.pairs()
    counts = ("established", "time_wait", "close_wait", "other", "used")

    assert known.pairs.keys() == expected.keys()
    for key, row in known.pairs.items():
        simple = [expected[key][state] for state in ("ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT")]
        others = simple[2] + expected[key]["FIN_WAIT2"]
        assert [row[name] for name in counts] == [*simple, others, sum(simple[:2]) + others], key


def test_ss_counts_the_same_pairs_and_states(known: Known) -> None:
    need(shutil.which("ss"), "ss (iproute2)")
    listed = {state: count for state, count in known.said["sockets"].items() if state != "BOUND_INACTIVE"}
    pairs = {
        key: (row["established"], row["time_wait"], row["close_wait"], row["used"]) for key, row in known.pairs.items()
    }

    assert listed == {k: v for k, v in state_counts(known.rows).items() if k != "BOUND_INACTIVE"}
    assert pairs == {
        key: (each["ESTABLISHED"], each["TIME_WAIT"], each["CLOSE_WAIT"], each.total())
        for key, each in pair_counts(known.rows).items()
    }


def test_the_sockets_by_state_are_those_that_were_made(known: Known) -> None:
    """Listeners and the ones that are only bound among them (those are listed since Linux 6.8)."""
    expected = dict(known.made.states())
    if not port_facts().bound_are_listed:
        del expected["BOUND_INACTIVE"]

    assert known.said["sockets"] == expected


def test_usable_ports_are_the_range_less_what_is_reserved_and_held(known: Known) -> None:
    need(port_facts().bound_are_listed, "bound sockets that are listed (Linux 6.8)")
    held = known.made.held()
    holdings = {each["port"]: each["how"] for each in known.said["holdings"]}
    owners = {each["port"]: each["owner"] for each in known.said["holdings"]}
    clients, servers = whose(known)

    assert known.said["range"] == [LOW, HIGH]
    assert (known.said["reserved"], known.said["blocked"]) == (INSIDE, len(held))
    assert known.said["usable"] == HIGH + 1 - LOW - INSIDE - len(held)
    assert holdings == held
    assert owners == {port: servers if port == LISTENS else clients for port in held}
    assert LOW <= known.made.any <= HIGH
    assert OUTSIDE not in holdings


def test_left_is_what_the_connections_of_a_pair_have_not_taken(known: Known) -> None:
    """Not the one on the port that is held: that is nobody's in any case. TIME_WAIT keeps its port here."""
    need(port_facts().bound_are_listed, "bound sockets that are listed (Linux 6.8)")
    usable, held = known.said["usable"], known.made.held()
    taken = dict.fromkeys(known.pairs, 0)
    for role, source, destination, _, port in known.made.ends:
        taken[role, source, destination] += port not in held

    for key, row in known.pairs.items():
        if row["role"] == SERVES:
            assert (row["usable"], row["left"], row["percent"]) == (None, None, None)
        else:
            assert (row["usable"], row["left"]) == (usable, usable - taken[key]), key
            assert row["percent"] == pytest.approx(100 * taken[key] / usable, abs=0.06)
    assert sum(row["used"] - taken[key] for key, row in known.pairs.items() if row["role"] == CLIENT) == 1


def test_the_pair_that_is_closest_to_its_end_comes_first_and_servers_last(known: Known) -> None:
    rows = known.said["pairs"]
    clients = [row["left"] for row in rows if row["role"] == CLIENT]

    assert [row["role"] for row in rows] == [CLIENT] * len(clients) + [SERVES] * (len(rows) - len(clients))
    assert clients == sorted(clients)


def test_ports_that_several_connections_share(known: Known) -> None:
    ports = known.made.client_ports()
    most = max(ports.values())

    assert known.said["shared_ports"] == sum(count > 1 for count in ports.values())
    assert known.said["busiest_port"]["connections"] == most
    assert ports[known.said["busiest_port"]["port"]] == most


def test_listeners_are_there_with_their_queues(known: Known) -> None:
    listeners = {each["address"]: each for each in known.said["listeners"]}
    expected = {address: (*queue, 0) for address, queue in known.made.listeners.items()}

    assert {name: (each["recv_q"], each["backlog"], each["drops"]) for name, each in listeners.items()} == expected
    assert [name for name, each in listeners.items() if each["in_range"]] == [f"{SERVER}:{LISTENS}"]
    assert known.said["listeners"][0]["address"] == f"{SERVER}:{LISTENS}"  # nobody waits at the others
    assert {each["owner"] for each in listeners.values()} == {whose(known)[1]}


def test_pairs_have_the_owners_of_their_sockets(known: Known) -> None:
    """Nobody's: TIME_WAIT, what was closed, and what waits to be accepted."""
    clients, servers = whose(known)
    for (role, _, destination), row in known.pairs.items():
        owner = clients if role == CLIENT else servers
        waits = role == SERVES and destination == f"{SERVER}:{LISTENS}"

        assert row["owner"] == ("" if waits else owner)
        owned = sum(process["sockets"] for process in row["owners"]["processes"])
        assert owned + row["owners"]["kernel"] == row["used"]
        assert (row["owners"]["not_visible"], row["owners"]["no_descriptor"]) == (0, 0)
    kernels = sum(row["owners"]["kernel"] for row in known.said["pairs"] if row["role"] == CLIENT)
    states = known.said["sockets"]
    assert kernels == states["TIME_WAIT"] + sum(ends_left(known))


def ends_left(known: Known) -> Iterator[int]:
    """FIN_WAIT2 without an owner: every fifth kind of connection (known.CYCLE) is closed by its client alone."""
    for place in range(len(PAIRS)):
        count = (known_count(known) - place + len(PAIRS) - 1) // len(PAIRS)
        yield sum(number % 7 == 5 for number in range(count))


def known_count(known: Known) -> int:
    """Those over PAIRS: 3 wait, 2 are mapped, 5 of IPv6, 1 has named its port."""
    return sum(role == CLIENT for role, *_ in known.made.ends) - 3 - 2 - 5 - 1


def whose(known: Known) -> list[str]:
    return [f"{comm} ({pid})" for comm, pid in zip(COMMS, known.made.pids, strict=True)]


def test_leaks_are_close_waits_by_owner(known: Known) -> None:
    expected = {
        who: sum(counts["CLOSE_WAIT"] for (role, *_), counts in known.made.pairs().items() if role == side)
        for who, side in zip(whose(known), (CLIENT, SERVES), strict=True)
    }

    assert {each["owner"]: each["sockets"] for each in known.said["leaks"]} == expected
    assert all(expected.values())


def test_where_nothing_moves_a_count_is_exact(known: Known) -> None:
    assert (known.said["approximate"], known.said["changed"]) == (False, 0)
    assert known.said["read_from"] == "sock_diag"
    assert known.said["netns"] == os.readlink(f"/proc/{known.ground.lab.pid}/ns/net")


def test_syns_without_an_answer(ground: Ground) -> None:
    """SYN_SENT keeps a port as a connection does."""
    need(shutil.which("ip"), "ip (iproute2)")
    # What goes to 10.9.0.2 goes over the loopback device, where nobody is.
    done = ground.run("ip", "-batch", "-", input="address add 10.9.0.1/32 dev lo\nroute add 10.9.0.2 dev lo\n")
    assert done.returncode == 0, done.stderr
    set_sysctl(ground, "ip_local_port_range", '"40000 40099"')
    with program(ground, BLACKHOLE, 23):
        (_, line), (_, text) = commands(ground, ["census", "--json"], ["census", "--state", "syn-sent"])
    said = json.loads(line)
    (row,) = said["pairs"]

    assert said["sockets"] == {"SYN_SENT": 23}
    assert (row["source"], row["destination"], row["other"], row["used"]) == ("10.9.0.1", "10.9.0.2:8000", 23, 23)
    assert (row["usable"], row["left"]) == (100, 77)
    assert "23 sockets: SYN_SENT 23" in text


def test_time_waits_take_a_port_until_they_are_a_second_old(ground: Ground) -> None:
    """connect() takes them over then (tcp_tw_reuse, which is for loopback unless it was set): so they are left."""
    fresh, old, full, found = json.loads(ground.python(TIME_WAITS))

    assert (fresh, old) == ([[5, 15]], [[5, 20]])
    assert (full, found) == ([[0, 0]], 20)


def test_in_every_world_census_and_limits_and_proc_agree(ground: Ground) -> None:
    """A failing world is repeated by `fourtuple lab -- python -m tests.labs.counted SEED 1`."""
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]  # owners are found quickly where there are few processes
    prefix = alone if shutil.which("unshare") and ground.run(*alone, "true").returncode == 0 else []
    done = ground.run(*prefix, sys.executable, "-m", "tests.labs.counted", str(FIRST), str(WORLDS))
    *failed, last = [json.loads(line) for line in done.stdout.splitlines()] or [{}]

    assert not failed, "\n".join(map(str, failed))
    assert (last.get("worlds"), last.get("failed")) == (WORLDS, 0), done.stderr
    assert last["pairs"] > WORLDS


# What is asked for


def keys(output: str) -> set[Key]:
    return set(pairs_of(json.loads(output)))


def test_only_those_to_and_from_somewhere(small: Known) -> None:
    """Both ends of them, with the same numbers."""
    whole = pairs_of(json.loads(small.outputs["--json"]))
    found = [small.outputs[f"{each} --json"] for each in TO]

    assert [keys(each) for each in found] == [{key for key in whole if chosen(key)} for chosen in TO.values()]
    for output in found:
        for key, row in pairs_of(json.loads(output)).items():
            assert (row["used"], row["owner"]) == (whole[key]["used"], whole[key]["owner"]), key


def test_what_is_left_does_not_change_by_asking_for_less(small: Known) -> None:
    """Whoever keeps a port from everybody does so whichever connections are asked about."""
    whole = json.loads(small.outputs["--json"])
    found = [small.outputs[f"{each} --json"] for each in TO]

    for asked, said in zip(TO, map(json.loads, found), strict=True):
        assert (said["blocked"], said["usable"]) == (whole["blocked"], whole["usable"]), asked
        assert said["holdings"] == whole["holdings"], asked
        lefts = {key: row["left"] for key, row in pairs_of(said).items()}
        assert lefts == {key: pairs_of(whole)[key]["left"] for key in lefts}, asked


def test_only_those_in_a_state(small: Known) -> None:
    """In whatever way it is written. What is left cannot be told then."""
    states = json.loads(small.outputs["--json"])["sockets"]
    for name, those in STATES.items():
        said = json.loads(small.outputs[f"--state {name} --json"])
        expected = {state: states[state] for state in those}

        assert {state: count for state, count in said["sockets"].items() if state != "LISTEN"} == expected
        assert sum(row["used"] for row in said["pairs"]) == sum(expected.values())
        assert {row["left"] for row in said["pairs"]} == {None}


def test_ports_that_are_held_are_not_known_where_some_states_are_asked_for(small: Known) -> None:
    """It is said that they are not known: that takes all states."""
    everything, found = (json.loads(small.outputs[each]) for each in ("--json", "--state established --json"))

    assert everything["blocked"] > 0
    assert (found["blocked"], found["usable"]) == (None, None)
    assert numbers(small.outputs["--state established"].splitlines()[0]) == []


def test_by_destination_all_pairs_with_it_are_one_row(small: Known) -> None:
    pairs, found = (json.loads(small.outputs[each]) for each in ("--json", "--by destination --json"))
    expected: dict[tuple[str, str], list[int]] = {}
    for row in pairs["pairs"]:
        sums = expected.setdefault((row["role"], row["destination"]), [0, 0, row["left"] or 0])
        sums[0] += 1
        sums[1] += row["used"]
        sums[2] = min(sums[2], row["left"] or 0)
    rows = {(row["role"], row["destination"]): row for row in found["destinations"]}

    assert {key: [row["sources"], row["used"], row["left"] or 0] for key, row in rows.items()} == expected
    assert rows[CLIENT, "127.0.0.9:8000"]["usable"] == pairs["usable"]


def test_by_port_each_local_port_is_a_row(small: Known) -> None:
    ports = small.made.client_ports()
    rows = json.loads(small.outputs["--by port --json"])["ports"]
    clients = {row["port"]: row for row in rows if row["role"] == CLIENT}

    assert {port: row["used"] for port, row in clients.items()} == ports
    assert {port for port, row in clients.items() if row["held"]} == {CONNECTED}
    assert {row["port"] for row in rows if row["role"] == SERVES} == {8000, 8001, 8006, LISTENS}


def test_by_state_each_is_a_row(small: Known) -> None:
    said = json.loads(small.outputs["--by state --json"])
    expected: dict[str, dict[str, int]] = {CLIENT: {}, SERVES: {}}
    for (role, *_), counts in small.made.pairs().items():
        for state, count in counts.items():
            expected[role][state] = expected[role].get(state, 0) + count

    assert {row["state"]: row["sockets"] for row in said["states"]} == said["sockets"]
    for name, role in (("clients", CLIENT), ("servers", SERVES)):
        assert {row["state"]: row[name] for row in said["states"] if row[name]} == expected[role]


def test_by_process_each_has_its_sockets_and_the_kernel_the_rest(small: Known) -> None:
    processes = json.loads(small.outputs["--by process --json"])["processes"]
    rows = {(row["pid"], row["name"]): row for row in processes}

    assert rows.keys() == {*zip(small.made.pids, COMMS, strict=True), (None, NAMELESS[2])}
    assert sum(row["used"] for row in rows.values()) == len(small.made.ends)
    assert rows[small.made.pids[0], COMMS[0]]["pairs"] == len(PAIRS) + 2
    assert rows[small.made.pids[1], COMMS[1]]["time_wait"] == 0


def test_top_leaves_out_the_others_and_says_how_many(small: Known) -> None:
    """Of clients and of servers, so that a busy client hides no listener."""
    whole, some = (json.loads(small.outputs[each]) for each in ("--json", "--top 2 --json"))
    of = {role: [row for row in whole["pairs"] if row["role"] == role] for role in (CLIENT, SERVES)}

    assert some["pairs"] == of[CLIENT][:2] + of[SERVES][:2]
    assert len(some["pairs"]) == 4
    assert (some["total"], some["sockets"]) == (len(whole["pairs"]), whole["sockets"])
    (more,) = [line for line in small.outputs["--top 2"].splitlines() if "--top" in line]
    assert numbers(more) == [len(whole["pairs"]) - 4]


def test_csv_has_the_rows_of_the_json(small: Known) -> None:
    for by, plural in KINDS.items():
        as_csv, as_json = (small.outputs[f"--by {by} {how}"] for how in ("--csv", "--json"))
        said = json.loads(as_json)
        where = {"netns": said["netns"]}  # and the time, which differs
        rows = [where | {k: v for k, v in row.items() if k != "owners"} for row in said[plural]]

        assert rows
        listed = list(csv.DictReader(io.StringIO(as_csv)))
        assert all(row.pop("time").startswith(said["time"][:10]) for row in listed)
        assert listed == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]


def test_text_begins_with_the_ports_and_fits_a_terminal(small: Known) -> None:
    texts = [output for asked, output in small.outputs.items() if "--json" not in asked and "--csv" not in asked]
    first = small.outputs[""].splitlines()[0]

    assert numbers(first) == [HIGH + 1 - LOW - INSIDE - 4, INSIDE, 4]
    assert f"{LOW}-{HIGH}" in first
    assert [line for output in texts for line in wide(output)] == []
    assert ESCAPE not in "".join(small.outputs.values())
    assert "→" not in small.outputs["--to :1"]


def test_text_has_a_line_for_each_thing_that_takes_ports(small: Known) -> None:
    text = " ".join(small.outputs["--top 50"].split())
    clients, servers = whose(small)
    leaks = {each["owner"]: each["sockets"] for each in small.said["leaks"]}

    for kind, count, owner in (("bound", 2, clients), ("listening", 1, servers), ("bound and connected", 1, clients)):
        assert sum(each["how"] == kind for each in small.said["holdings"]) == count
        assert f"{count} {kind}: {owner}" in text
    assert re.search(rf"CLOSE_WAIT {leaks[servers]},.* {re.escape(servers)} ", text)
    assert re.search(rf" {SERVER}:{LISTENS} 3 of 8 [^0-9]*, {re.escape(servers)}", text)
    assert f" {SERVER}:8000, {SERVER}:8001, [::1]:8006" in text


def test_ports_that_run_out_are_said_to(ground: Ground) -> None:
    """From 50 % on that it gets slow, from 80 % on what is left and why."""
    set_sysctl(ground, "ip_local_port_range", '"40000 40099"')
    set_sysctl(ground, "tcp_tw_reuse", 0)
    with program(ground, CLIENTS) as clients:
        ask(clients, "127.0.0.1", 49, 0)
        none = census(ground)["warnings"]
        ask(clients, "127.0.0.1", 1, 0)
        ask(clients, "127.0.0.2", 80, 1)
        (_, text), (_, line) = commands(ground, ["census"], ["census", "--json"])
    half, most = sorted(each for each in json.loads(line)["warnings"] if "--probe" not in each)

    assert [each for each in none if "--probe" not in each] == []
    assert half.startswith("127.0.0.1 → 127.0.0.9:8000 ")
    assert "IP_LOCAL_PORT_RANGE" in half
    assert most.startswith("127.0.0.2 → 127.0.0.9:8000 ")
    assert numbers(most)[0] == 20
    assert CAUSES["time-wait"].says in most
    assert "fourtuple why EADDRNOTAVAIL --dest 127.0.0.9:8000" in most
    assert " ".join(half.split()) in " ".join(text.replace("!", "").split())
    assert wide(text) == []


def test_a_census_is_saved_whole(small: Known, tmp_path: Path) -> None:
    """What was there is replaced, nothing else is left behind, and the screen shows what it shows without."""
    file = tmp_path / "census.json"
    file.write_text("x" * 100_000)
    asked: list[list[str]] = [[], ["--save", str(file)], ["--json"]]
    (_, text), (code, saved), (_, line) = commands(small.ground, *(["census", *each] for each in asked))
    said = json.loads(file.read_text())

    assert (code, saved) == (OK, text)
    assert said["pairs"] == json.loads(line)["pairs"]
    assert [each.name for each in tmp_path.iterdir()] == ["census.json"]


def test_what_is_saved_has_the_rows_that_are_not_shown(small: Known, tmp_path: Path) -> None:
    file = tmp_path / "census.json"
    commands(small.ground, ["census", "--top", "1", "--save", str(file)])

    assert len(json.loads(file.read_text())["pairs"]) == len(small.said["pairs"])


# What is asked, and what is named of it.
BAD = {
    "--save /nonexistent/file": "/nonexistent/file",
    "--to 1.2.3.4:99999": "'1.2.3.4:99999'",
    "--to 1.2.3.4:80-70": "'1.2.3.4:80-70'",
    "--to nobody.invalid": "'nobody.invalid'",
    "--to 1.2.3.0/33": "1.2.3.0/33",
    "--from 127.0.0.1:80": "--from 127.0.0.1:80",
    "--from 1.2.3.4.5": "'1.2.3.4.5'",
    "--state open": "'open'",
    "--by user": "'user'",
    "--top few": "'few'",
    "--watch soon": "'soon'",
    "--json --csv": "--csv",
    "--all-netns --netns 1": "--all-netns",
    "--all-netns --watch": "--all-netns",
    "--netns nobody-has-this-name": "nobody-has-this-name",
    "--netns 4194305": "4194305",  # above pid_max, whatever it is
}


def test_what_cannot_be_is_refused_by_its_name(small: Known) -> None:
    done = commands(small.ground, *(["census", *each.split()] for each in BAD))
    for (code, output), (asked, named) in zip(done, BAD.items(), strict=True):
        assert code == WRONG, asked
        assert named in joined(output), asked


# Elsewhere


def test_another_namespace_is_counted_from_here(small: Known) -> None:
    """By the number of a process, the same as inside."""
    said = json_of(fourtuple("census", "--netns", str(small.made.pids[0]), "--json"))
    there = census(small.ground)

    assert said["netns"] == there["netns"] != os.readlink("/proc/self/ns/net")
    assert pairs_of(said) == pairs_of(there)


def test_a_namespace_is_counted_by_its_name() -> None:
    need(os.geteuid() == 0, "root, for ip netns")
    need(shutil.which("ip") and shutil.which("unshare"), "ip (iproute2) and unshare (util-linux)")
    script = (
        "mount -t tmpfs none /run && ip netns add lonely && ip netns exec lonely"
        " sysctl -qw net.ipv4.ip_local_port_range='40000 40006' && exec \"$@\""
    )
    prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]
    said = json_of(fourtuple("census", "--netns", "lonely", "--json", prefix=prefix))

    assert (said["range"], said["usable"], said["pairs"]) == ([40_000, 40_006], 7, [])


def test_all_namespaces_have_a_block_each_or_a_line_of_json(ground: Ground) -> None:
    """Its own first, in which there is nothing here."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "root, and unshare (util-linux)")
    alone = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", 'mount -t tmpfs none /run; exec "$@"']
    done = ground.run(*alone, "sh", sys.executable, "-c", ELSEWHERE)
    assert done.returncode == 0, done.stderr
    (code, text, complaints), (json_code, lines, _) = map(json.loads, done.stdout.splitlines())
    heads = [line.split()[0] for line in text.splitlines() if line.startswith("net:[")]
    found = [json.loads(line) for line in lines.splitlines()]

    assert (code, json_code, complaints) == (OK, OK, "")
    assert len(set(heads)) == 3
    assert [each["netns"] for each in found] == heads
    assert sorted(re.findall(r"→ 127\.0\.0\.9:8000\s+(\d+) ", text)) == ["5", "5", "7", "7"]  # both ends
    assert text.index(heads[1]) < text.index("127.0.0.9:8000")
    assert found[0]["pairs"] == []
    assert sorted(each["sockets"].get("ESTABLISHED", 0) for each in found) == [0, 10, 14]
    assert wide(text) == []


# Who may see what


def test_an_ordinary_user_counts_what_he_may_not_see(small: Known) -> None:
    """root's sockets are all there, and said not to be visible; the numbers are those that root is told."""
    nobody = another_user()
    asked = [["census", "--json"], ["census"], ["census", "--by", "process", "--json"]]
    done = small.ground.run(*nobody, sys.executable, "-c", COMMANDS, input=json.dumps([asked, {}]))
    assert done.returncode == 0, done.stderr
    (code, line), (_, text), (_, processes) = json.loads(done.stdout)
    said, by_process = json.loads(line), json.loads(processes)["processes"]
    columns = ("used", "established", "time_wait", "left")
    rows, whole = pairs_of(said), pairs_of(census(small.ground))

    assert code == OK
    assert {key: [row[n] for n in columns] for key, row in rows.items()} == {
        key: [row[n] for n in columns] for key, row in whole.items()
    }
    for key, row in rows.items():
        hidden = sum(process["sockets"] for process in whole[key]["owners"]["processes"])
        assert (row["owners"]["not_visible"], row["owners"]["processes"]) == (hidden, [])
        assert row["owner"] == ("user root" if hidden else "")
    assert {(row["pid"], row["name"]) for row in by_process} == {
        (None, NAMELESS[0]),
        (None, NAMELESS[2]),
    }
    assert sum(row["owners"]["not_visible"] for row in rows.values()) in numbers(text)
    assert wide(text) == []


def test_sockets_of_io_uring_are_said_to_be_and_rings_names_their_process() -> None:
    """A direct descriptor is in no process's files; the ring that has it tells, if it is asked."""
    why_not = features().why_not
    need(why_not is None, f"io_uring ({why_not})")
    with (
        private_ground("ring") as ground,
        ground.started("serve", "127.0.0.9:8000"),
        ground.started("hold", "23", "127.0.0.9:8000", "--for", "1h") as holding,
    ):
        asked = ["--json", "--rings --json", "--by process --json", ""]
        *looks, text = [output for _, output in commands(ground, *(["census", *each.split()] for each in asked))]
    said, named, by_process = map(json.loads, looks)
    client = (CLIENT, "127.0.0.1", "127.0.0.9:8000")
    row, ringed = pairs_of(said)[client], pairs_of(named)[client]

    assert (row["used"], row["owner"], row["owners"]["no_descriptor"]) == (23, "io_uring", 23)
    assert row["owners"]["not_visible"] == row["owners"]["kernel"] == 0
    assert (ringed["owners"]["no_descriptor"], ringed["owners"]["kernel"]) == (0, 0)
    assert [(each["sockets"], each["pid"] >= holding.pid) for each in ringed["owners"]["processes"]] == [(23, True)]
    assert "io_uring" in text
    assert "--rings" in text
    assert (None, NAMELESS[1]) in [(each["pid"], each["name"]) for each in by_process["processes"]]
    assert wide(text) == []


def test_without_sock_diag_it_reads_proc_and_says_so(small: Known) -> None:
    """Pairs and states are the same; what /proc does not tell is None, and sockets that are only bound are missing."""
    done = small.ground.run(sys.executable, DENY, "netlink", *COMMAND, "census", "--json")
    said, whole = json_of(done), census(small.ground)
    numbers = ("established", "time_wait", "close_wait", "other", "used", "owner")

    assert said["read_from"] == "/proc/net/tcp"
    assert {k: [row[n] for n in numbers] for k, row in pairs_of(said).items()} == {
        k: [row[n] for n in numbers] for k, row in pairs_of(whole).items()
    }
    assert said["sockets"] == {k: v for k, v in whole["sockets"].items() if k != "BOUND_INACTIVE"}
    assert {each["backlog"] for each in said["listeners"]} == {each["drops"] for each in said["listeners"]} == {None}
    assert [each["port"] for each in said["holdings"]] == [LISTENS]
    assert BOUND in {each["port"] for each in whole["holdings"]} or not port_facts().bound_are_listed


def test_where_sockets_come_and_go_a_count_is_approximate(ground: Ground) -> None:
    with program(ground, CHURN):
        done = commands(ground, *[["census", "--json"]] * 5)
    looks = [json.loads(output) for _, output in done]
    moved = [said for said in looks if said["approximate"]]  # the program may not have run at all meanwhile

    assert moved
    assert all(said["changed"] > 0 for said in moved)


# Again and again


def test_watched_lines_of_json_have_rates_and_the_time_until_nothing_is_left(ground: Ground) -> None:
    set_sysctl(ground, "ip_local_port_range", '"40000 40099"')
    with program(ground, CLIENTS) as clients, watching(ground, "--watch", "500ms", "--json") as watch:
        ask(clients, "127.0.0.1", 10, 0)
        assert watch.stdout is not None
        looks = [json.loads(watch.stdout.readline())]
        ask(clients, "127.0.0.1", 50, 0)
        while (rows := pairs_of(json.loads(watch.stdout.readline()))) and len(looks) < 20:
            looks.append(rows[CLIENT, "127.0.0.1", "127.0.0.9:8000"])
            if looks[-1]["used"] == 60:
                break
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=PATIENCE_S)

    assert looks[0]["pairs"][0]["opened_per_s"] is None
    assert looks[-1]["used"] == 60
    assert looks[-1]["opened_per_s"] > 0
    assert looks[-1]["left"] == 40
    grown = [each for each in looks[1:] if each["opened_per_s"]]
    assert all(each["exhausted_in_s"] > 0 for each in grown)
    if looks[-1]["opened_per_s"] > 50:  # all of them within one look
        assert looks[-1]["exhausted_in_s"] == pytest.approx(40 / looks[-1]["opened_per_s"], rel=0.01)


@pytest.mark.parametrize("how", [[], ["--csv"]], ids=["text", "csv"])
def test_a_watch_that_is_piped_goes_on_until_ctrl_c(small: Known, how: list[str]) -> None:
    """Block after block, the head of a CSV once; no traceback, nothing that only a terminal understands."""
    with watching(small.ground, "--watch", "200ms", *how) as watch:
        assert watch.stdout is not None
        ends, lines = 0, []
        while ends < 2:
            lines.append(watch.stdout.readline())
            ends += lines[-1] == "\n" if not how else f",{SERVES},127.0.0.3," in lines[-1]
        watch.send_signal(signal.SIGINT)
        rest, said = watch.communicate(timeout=PATIENCE_S)
    text = "".join(lines) + rest

    assert "Traceback" not in said
    assert ESCAPE not in text
    assert watch.returncode == 130
    assert text.count("role,source") == len(how)


@dataclass(frozen=True)
class Terminal:
    """The command on a terminal of 30 lines, with what it has drawn there."""

    started: "subprocess.Popen[bytes]"
    master: int
    slave: int
    drawn: bytearray

    def until(self, words: str, *, after: int = 0) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while words.encode() not in self.drawn[after:]:
            assert time.monotonic() < until_s, (words, self.drawn[after:].decode(errors="replace"))
            if select.select([self.master], [], [], 0.1)[0]:
                self.drawn.extend(os.read(self.master, 1 << 16))

    def press(self, key: str, words: str) -> None:
        after = len(self.drawn)
        os.write(self.master, key.encode())
        self.until(words, after=after)


@contextmanager
def terminal(ground: Ground, arguments: Sequence[str], columns: int) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    command = ground.lab.command([*COMMAND, *arguments])
    environment = os.environ | {"TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    started = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    try:
        yield Terminal(started, master, slave, bytearray())
    finally:
        started.kill()
        started.wait()
        os.close(slave)
        os.close(master)


def test_on_a_terminal_keys_sort_and_q_ends(small: Known) -> None:
    """It draws on the other screen, each key at once, and leaves the terminal as it was."""
    with terminal(small.ground, ["census", "--watch", "60s"], 120) as screen:
        before = termios.tcgetattr(screen.slave)
        screen.until(QUIT)
        during = termios.tcgetattr(screen.slave)
        screen.press("s", sorted_by("sockets"))
        screen.press("w", sorted_by("TIME_WAIT"))
        screen.press("n", sorted_by("new"))
        screen.press("f", sorted_by("full"))
        screen.press("x", sorted_by("full"))
        screen.press("p", sorted_by("percent"))
        os.write(screen.master, b"q")
        screen.until("\x1b[?1049l")
        code = screen.started.wait(PATIENCE_S)
        after = termios.tcgetattr(screen.slave)
    drawn = screen.drawn.decode()

    assert code == OK
    assert drawn.count("\x1b[?1049h") == drawn.count("\x1b[?1049l") == 1
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")  # the cursor is there again
    assert not during[3] & (termios.ICANON | termios.ECHO)
    assert after == before
    assert "Traceback" not in drawn


def test_at_80_columns_a_watch_is_seen_whole(small: Known) -> None:
    with (
        watching(small.ground, "--watch", "60s") as watch,
        terminal(small.ground, ["census", "--watch", "60s"], 80) as on,
    ):
        assert watch.stdout is not None
        lines = [watch.stdout.readline() for _ in range(5)]
        on.until(QUIT)
        drawn = on.drawn.decode()

    assert wide("".join(lines)) == []
    assert LAST_COLUMN in drawn
    assert QUIT in drawn


def test_keys_sort_all_pairs_and_not_those_only_that_were_seen(ground: Ground) -> None:
    """The only pair with a TIME_WAIT is the first by that, though eleven others have taken more ports."""
    set_sysctl(ground, "tcp_tw_reuse", 0)
    with program(ground, CLIENTS) as clients:
        for number in range(11, 22):
            ask(clients, f"127.0.0.{number}", 3, 0)
        ask(clients, "127.0.0.99", 1, 1)
        with terminal(ground, ["census", "--watch", "60s"], 120) as screen:
            screen.until(QUIT)
            before = len(screen.drawn)
            screen.press("w", sorted_by("TIME_WAIT"))
            drawn = screen.drawn[before:].decode()

    assert "127.0.0.99 → " in drawn


def test_ctrl_c_on_a_terminal_leaves_it_as_it_was(small: Known) -> None:
    with terminal(small.ground, ["census", "--watch", "60s"], 80) as screen:
        before = termios.tcgetattr(screen.slave)
        screen.until(QUIT)
        screen.started.send_signal(signal.SIGINT)
        screen.until("\x1b[?1049l")
        screen.started.wait(PATIENCE_S)
        after = termios.tcgetattr(screen.slave)

    assert after == before
    assert "Traceback" not in screen.drawn.decode()


def test_once_on_a_terminal_it_is_as_wide_as_that(small: Known) -> None:
    """Names that are cut at 80 columns are whole at 120; and no more columns are used than there are."""
    with terminal(small.ground, ["census"], 120) as screen:
        screen.until(f"{SERVER}:8001, ")  # in the last line but what was lost
        text = screen.drawn.decode()
    clients, _ = whose(small)

    assert f"  {clients}" in text
    assert f"  {clients}" not in small.outputs[""]
    assert max(map(len, text.splitlines())) <= 120
