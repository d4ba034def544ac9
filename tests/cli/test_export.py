"""`fourtuple export` as a monitor sees it, up to an alert of a real Prometheus; and what ships beside it."""

import itertools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fourtuple.core.census.gauges import Gauges
from fourtuple.core.census.usage import Usage
from fourtuple.core.counters import COUNTERS
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.table import LISTENER, SOCK_DIAG
from fourtuple.core.space.ranges import Ranges
from fourtuple.faces.export.metrics import Exporter
from tests.conftest import COMMAND, DENY, Ground, fourtuple, need
from tests.core.quiet import WORLD
from tests.told import READY
from tests.waiting import PATIENCE_S, lines_until, wait_until

CONTRIB = Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus" / "fourtuple.rules.yml"
UNIT = CONTRIB / "systemd" / "fourtuple-export.service"
DASHBOARD = CONTRIB / "grafana" / "fourtuple.json"
USABLE = 28_232  # of the default range, where nobody has reserved or bound any
FETCH = """
import socket, sys, urllib.request
low, url = int(sys.argv[1]), sys.argv[2]
class Bound(urllib.request.HTTPHandler):
    def http_open(self, request):
        import http.client, functools
        return self.do_open(functools.partial(http.client.HTTPConnection, source_address=("127.0.0.1", low)), request)
opener = urllib.request.build_opener(Bound if low else urllib.request.HTTPHandler)
sys.stdout.write(opener.open(url, timeout=120).read().decode())
"""


def fetched(ground: Ground, path: str = "/metrics", from_port: int = 0) -> str:
    """What the exporter says, asked from a port of our own choice if the range has none left."""
    done = ground.run(sys.executable, "-c", FETCH, str(from_port), f"http://127.0.0.1:9435{path}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


def looked_at(text: str) -> float:
    return value(text, "fourtuple_census_timestamp_seconds")


def pair(source: str, destination: str, role: str = "client") -> dict[str, str]:
    return {"role": role, "source": source, "destination": destination}


@contextmanager
def exporting(ground: Ground, *options: str) -> Iterator[None]:
    with ground.started("export", *options, wait_for=READY["export"]):
        yield


def test_it_tells_what_is_there(ground: Ground) -> None:
    """23 connections over two pairs, by the kernel's own numbers."""
    with (
        ground.serving("127.0.0.1:80-81"),
        ground.started("hold", "23", "127.0.0.1:80-81", "--for", "1h", "--json"),
        exporting(ground),
    ):
        text = fetched(ground)

    both = [value(text, "fourtuple_pair_sockets", **pair("127.0.0.1", f"127.0.0.1:{port}")) for port in (80, 81)]
    assert sorted(both) == [11, 12]
    for port, used in zip((80, 81), both, strict=True):
        assert value(text, "fourtuple_pair_usable_ports", **pair("127.0.0.1", f"127.0.0.1:{port}")) == USABLE
        assert value(text, "fourtuple_pair_left_ports", **pair("127.0.0.1", f"127.0.0.1:{port}")) == USABLE - used
        assert value(text, "fourtuple_pair_left_least_ports", **pair("127.0.0.1", f"127.0.0.1:{port}")) == USABLE - used
        assert value(text, "fourtuple_pair_sockets", **pair("other", f"127.0.0.1:{port}", "server")) == used
    assert value(text, "fourtuple_pairs", role="client") == 2
    assert value(text, "fourtuple_sockets", state="ESTABLISHED") == 46
    assert value(text, "fourtuple_sockets", state="LISTEN") == 3
    assert value(text, "fourtuple_range_ports") == USABLE
    assert value(text, "fourtuple_blocked_ports") == 0
    assert value(text, "fourtuple_connects_total") == value(text, "fourtuple_accepts_total") == 23
    assert value(text, "fourtuple_listener_backlog_connections", address="127.0.0.1:80") == 4096


def test_what_is_beyond_the_first_comes_together(ground: Ground) -> None:
    with (
        ground.serving("127.0.0.1:80-84"),
        ground.started("hold", "50", "127.0.0.1:80-84", "--for", "1h", "--json"),
        exporting(ground, "--top", "2"),
    ):
        found = samples(fetched(ground))

    used = {
        dict(labels)["destination"]: count
        for (name, labels), count in found.items()
        if name == "fourtuple_pair_sockets" and dict(labels)["role"] == "client"
    }
    assert sorted(used.values()) == [10, 10, 30]
    assert used["other"] == 30
    assert found["fourtuple_pair_usable_ports", frozenset(pair("other", "other").items())] == 3 * USABLE
    assert len([1 for name, _ in found if name == "fourtuple_listener_recv_q_connections"]) == 3


def test_it_answers_where_no_port_is_left(ground: Ground) -> None:
    """bind(address, 0) has taken every port of the range, so no connect() succeeds; a listener needs none."""
    ground.set_port_range(40000, 40063)
    hog = (
        "import socket, sys, time\n"
        "held = []\n"
        "try:\n"
        "    while True:\n"
        "        held.append(socket.socket()); held[-1].bind(('127.0.0.1', 0))\n"
        "except OSError:\n"
        "    held.pop()\n"
        "print('full', len(held), flush=True)\n"
        "time.sleep(3600)\n"
    )
    program = ground.lab.start([sys.executable, "-c", hog], stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "full 64\n"
        with exporting(ground, "--every", "500ms"):
            failed = ground.run(sys.executable, "-c", FETCH, "0", "http://127.0.0.1:9435/metrics")
            text = fetched(ground, from_port=30000)
            ports = itertools.count(30001)  # the one before is in TIME_WAIT
            assert wait_until(lambda: looked_at(fetched(ground, from_port=next(ports))) > looked_at(text))
    finally:
        program.kill()
        program.communicate()

    assert "Cannot assign requested address" in failed.stderr
    assert value(text, "fourtuple_blocked_ports") == value(text, "fourtuple_range_ports") == 64
    assert value(text, "fourtuple_usable_ports") == 0


def test_ports_named_in_bind_stay_known_between_two_looks_for_them(ground: Ground) -> None:
    """They are looked for every two minutes; a listener or a bound socket that goes is free at once."""
    code = (
        "import socket, sys\n"
        "server = socket.create_server(('127.0.0.1', 80))\n"
        "named = socket.socket(); named.bind(('127.0.0.1', 40001)); named.connect(('127.0.0.1', 80))\n"
        "idle = socket.socket(); idle.bind(('127.0.0.1', 40002))\n"
        "print('there', flush=True); sys.stdin.readline(); idle.close(); print('gone', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    ground.set_port_range(40000, 40063)
    program = ground.lab.start(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == "there\n"
        with exporting(ground, "--every", "200ms"):
            both = value(fetched(ground), "fourtuple_blocked_ports")
            program.stdin.write("\n")
            assert program.stdout.readline() == "gone\n"
            assert wait_until(lambda: value(fetched(ground), "fourtuple_blocked_ports") < both)
            one = value(fetched(ground), "fourtuple_blocked_ports")
    finally:
        program.kill()
        program.communicate()

    assert (both, one) == (2, 1)


@contextmanager
def connected(ground: Ground, count: int, first: str = "", every_s: float = 0) -> Iterator[None]:
    """Clients of the exporter that stay, and never read.

    first: what each sends at once; every_s: interval between further bytes; 0: none
    """
    program = ground.lab.start(
        [sys.executable, "-c", CLIENTS, str(count), first, str(every_s)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "connected\n"
        yield
    finally:
        program.kill()
        program.communicate()


CLIENTS = """
import socket, sys, time
count, first, every_s = int(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode(), float(sys.argv[3])
held = [socket.create_connection(("127.0.0.1", 9435)) for _ in range(count)]
for each in held:
    each.send(first)
print("connected", flush=True)
while True:
    time.sleep(every_s or 3600)
    for each in held:
        try:
            each.send(b"x")
        except OSError:
            pass
"""
FEW_FILES = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")


@contextmanager
def exporting_with(ground: Ground, *prefix: str, every: str = "200ms") -> Iterator["subprocess.Popen[str]"]:
    """The exporter as a program that `prefix` starts."""
    program = ground.lab.start(
        [*prefix, *COMMAND, "export", "--every", every], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        lines_until(program.stderr, READY["export"])
        yield program
    finally:
        program.kill()
        program.communicate()


def open_files(program: "subprocess.Popen[str]") -> int:
    return len(os.listdir(f"/proc/{exporter_pid(program)}/fd"))


def exporter_pid(program: "subprocess.Popen[str]") -> int:
    """The process of the exporter itself: the one that starts it may wait for it."""
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
    return int(children[0]) if children else program.pid


HEADERS = "GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nX: "


@pytest.mark.parametrize(
    ("first", "every_s"), [("", 0), ("GET /met", 0), (HEADERS, 0.5), (HEADERS + "y\\r\\n\\r\\n", 0)]
)
def test_clients_that_only_sit_there_keep_nobody_out(ground: Ground, first: str, every_s: float) -> None:
    """200 of them with 64 descriptors: silent, half a request, one that never ends, and an answer that is not read."""
    with exporting_with(ground, *FEW_FILES) as program, connected(ground, 200, first, every_s):
        most = 0
        for _ in range(3):
            text = fetched(ground)
            most = max(most, open_files(program))
        assert wait_until(lambda: looked_at(fetched(ground)) > looked_at(text))
        assert value(fetched(ground), "fourtuple_census_success") == 1

    assert most < 64 - 20  # a count needs some, too


def test_a_client_that_says_nothing_is_sent_away(ground: Ground) -> None:
    """Also one that sends a byte now and then: each connection has ten seconds in all."""
    code = (
        "import socket\n"
        "silent, slow = [socket.create_connection(('127.0.0.1', 9435)) for _ in range(2)]\n"
        "slow.settimeout(1)\n"
        "gone = None\n"
        "while gone is None:\n"
        "    try:\n"
        "        slow.send(b'G')\n"
        "        gone = slow.recv(1)\n"
        "    except TimeoutError:\n"
        "        pass\n"
        "    except OSError:\n"
        "        gone = b''\n"
        "try:\n"
        "    print(gone, silent.recv(1))\n"
        "except OSError:\n"
        "    print(gone, b'')\n"
    )
    with exporting(ground):
        assert ground.python(code) == "b'' b''\n"


def test_without_a_descriptor_for_accept_it_waits_and_goes_on(ground: Ground) -> None:
    """Its limit is lowered to what it has open: counts fail and are counted; then the limit is raised again."""
    with exporting_with(ground) as program:
        pid = exporter_pid(program)
        before = value(fetched(ground), "fourtuple_census_failures_total")
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(program), hard))
        lines_until(program.stderr, "could not be counted")
        with connected(ground, 3):
            ticks = cpu_ticks(pid)
            time.sleep(1)
            spun = cpu_ticks(pid) - ticks
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
            assert wait_until(lambda: value(fetched(ground), "fourtuple_census_success") == 1)
        failures = value(fetched(ground), "fourtuple_census_failures_total")

    assert failures > before
    assert spun < 70  # of the hundred of this second, and far less where nothing else slows it down


def cpu_ticks(pid: int) -> int:
    """CPU time of the process, in hundredths of a second (proc(5), /proc/PID/stat fields 14 and 15)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


NO_PROC = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")


@pytest.mark.parametrize(
    "prefix", [NO_PROC, (*NO_PROC, sys.executable, DENY, "netlink"), (sys.executable, DENY, "netlink")]
)
def test_a_count_that_fails_ends_nothing(ground: Ground, prefix: tuple[str, ...]) -> None:
    """Without /proc, without sock_diag, without both: it answers, and says how many counts failed."""
    need(shutil.which("unshare") and ground.run(*NO_PROC, "true").returncode == 0, "root, to hide /proc")
    with exporting_with(ground, *prefix):
        first = fetched(ground)
        is_good = value(first, "fourtuple_census_success") == 1
        name = "fourtuple_census_timestamp_seconds" if is_good else "fourtuple_census_failures_total"
        assert wait_until(lambda: value(fetched(ground), name) > value(first, name))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /metrics HTTP/1.0\\r\\n\\r\\n", "200"),
        ("GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "200"),
        ("GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\nGET / HTTP/1.1\\r\\n\\r\\n", "200"),
        ("HEAD / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "200"),
        ("POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n\\r\\n", "405"),
        ("GET /metrics?name[]=fourtuple_info HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "200"),
        ("GET /metric HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "404"),
        ("GET /metrics/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "404"),
        ("GET /favicon.ico HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "404"),
        ("HEAD /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "200"),
        ("POST /metrics HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 3\\r\\n\\r\\nabc", "405"),
        ("GET /metrics HTTP/1.1\\r\\n\\r\\n", "400"),
        ("GET /\\xff HTTP/1.1\\r\\n\\r\\n", "400"),
        ("\\x16\\x03\\x01 a TLS hello\\r\\n\\r\\n", "400"),
        ("GET /metrics HTTP/1.1\\r\\nX: " + "y" * 20_000, "400"),
    ],
)
def test_each_request_gets_one_answer_and_the_end(ground: Ground, request_: str, status: str) -> None:
    code = (
        "import socket, sys\n"
        "client = socket.create_connection(('127.0.0.1', 9435))\n"
        "client.sendall(sys.argv[1].encode().decode('unicode_escape').encode('latin-1'))\n"
        "answer = b''\n"
        "try:\n"
        "    while data := client.recv(65536):\n"
        "        answer += data\n"
        "except ConnectionResetError:\n"
        "    pass\n"
        "print(answer.split()[1].decode(), answer.count(b'HTTP/1.'))\n"
    )
    with exporting(ground):
        done = ground.run(sys.executable, "-c", code, request_)

    assert done.stdout == f"{status} 1\n", done.stderr


def test_a_place_that_is_taken_is_named(ground: Ground) -> None:
    with ground.serving("127.0.0.1:9435"):
        done = ground.fourtuple("export")

    assert done.returncode == 1
    assert "127.0.0.1:9435" in done.stderr
    assert "EADDRINUSE 98" in done.stderr


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:80-81"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    done = fourtuple("export", "--listen", listen)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_it_listens_on_ipv6_too(ground: Ground) -> None:
    with ground.started("export", "--listen", "[::1]:9436", wait_for="http://[::1]:9436"):
        done = ground.run(
            sys.executable, "-c", "import urllib.request as u; print(u.urlopen('http://[::1]:9436/metrics').status)"
        )

    assert done.stdout == "200\n", done.stderr


def test_promtool_finds_nothing_to_complain_of(ground: Ground) -> None:
    need(shutil.which("promtool"), "promtool (package prometheus)")
    with ground.serving("127.0.0.1:80"), exporting(ground):
        text = fetched(ground)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


CONFIG = """
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: fourtuple
    static_configs: [{targets: ["127.0.0.1:9435"]}]
"""


def test_a_prometheus_scrapes_it_and_fires_the_alert(ground: Ground, tmp_path: Path) -> None:
    """60 of 64 ports to one destination are in use; the alert waits one second here, not one minute."""
    need(shutil.which("prometheus"), "prometheus")
    ground.set_port_range(40000, 40063)
    (tmp_path / "rules.yml").write_text(re.sub(r"for: \d+m", "for: 1s", RULES.read_text()))
    (tmp_path / "prometheus.yml").write_text(CONFIG)
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    command += ["--web.listen-address=127.0.0.1:9090", "--log.level=warn"]
    with (
        ground.serving("127.0.0.1:80"),
        ground.started("hold", "60", "127.0.0.1:80", "--for", "1h", "--json"),
        exporting(ground, "--every", "500ms"),
    ):
        prometheus = ground.lab.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            firing = alert_of(ground, "FourtuplePortsRunOut")
        finally:
            prometheus.terminate()
            prometheus.communicate()

    assert firing["labels"]["destination"] == "127.0.0.1:80"
    assert firing["annotations"]["summary"].startswith("127.0.0.1 → 127.0.0.1:80 uses 93.")


def alert_of(ground: Ground, name: str) -> dict[str, Any]:
    def firing() -> list[dict[str, Any]]:
        done = ground.run(sys.executable, "-c", FETCH, "0", "http://127.0.0.1:9090/api/v1/alerts")
        alerts = json.loads(done.stdout)["data"]["alerts"] if done.returncode == 0 else []
        return [each for each in alerts if each["labels"]["alertname"] == name and each["state"] == "firing"]

    found = wait_until(firing)
    assert found, f"{name} does not fire"
    return found[0]


def test_the_rules_mean_what_they_say() -> None:
    need(shutil.which("promtool"), "promtool (package prometheus)")
    for command in (["check", "rules", RULES.name], ["test", "rules", "fourtuple.tests.yml"]):
        done = subprocess.run(["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def told() -> set[str]:
    """The names of everything that can be told."""
    numbers = ("nf_conntrack_count", "nf_conntrack_max")
    sysctls = {f"net.netfilter.{name}": "1" for name in numbers} | {
        "net.ipv4.tcp_max_tw_buckets": "1",
        "net.ipv4.tcp_max_orphans": "1",
        "net.ipv4.tcp_mem": "1 2 3",
        "net.ipv4.neigh.default.gc_thresh3": "1",
        "fs.file-max": "1",
        "kernel.threads-max": "1",
    }
    world = replace(
        WORLD,
        ports=PortFacts(range(32768, 61000), Ranges([])),
        sysctls=sysctls,
        sockstat={"TCP.tw": 1, "TCP.orphan": 1, "TCP.mem": 1},
        counters={counter.name: 1 for counter in COUNTERS},
        files_in_use=1,
        threads=1,
        neighbours=1,
    )
    usage = Usage.of([], np.zeros(0, LISTENER), world.ports, EVERYWHERE)
    exporter = Exporter()
    exporter.publish(Gauges.of(usage, world, 10, SOCK_DIAG, at_s=0, took_s=0, changed=0))
    return {family.name + "_total" * (family.type == "counter") for family in exporter.collect()} | {"fourtuple_info"}


def test_rules_and_dashboard_ask_for_nothing_that_is_not_told() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [line for line in RULES.read_text().splitlines() if "expr:" in line]
    asked = {name for text in (*expressions, *rules) for name in re.findall(r"\bfourtuple_\w+", text)}

    assert len(asked) > 25
    assert asked <= told()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_each_metric_has_a_help_text_of_its_own(ground: Ground) -> None:
    """And none of them is named without saying what is counted: sockets, ports, connections, bytes, seconds …"""
    with exporting(ground):
        text = fetched(ground)
    helps = dict(line.split(" ", 3)[2:] for line in text.splitlines() if line.startswith("# HELP fourtuple_"))

    assert len({*helps.values()}) == len(helps) > 30
    bare = ("_used", "_usable", "_left", "_left_least", "_wait", "_backlog", "_recv_q")
    assert [name for name in helps if name.endswith(bare)] == []


def test_every_panel_of_the_dashboard_says_what_it_shows() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]

    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel.get("description")] == []


def test_the_dashboard_asks_in_promql(tmp_path: Path) -> None:
    need(shutil.which("promtool"), "promtool (package prometheus)")
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML, too
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_takes_the_unit_and_finds_it_closed(tmp_path: Path) -> None:
    need(shutil.which("systemd-analyze"), "systemd-analyze (package systemd)")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/fourtuple", "/bin/true"))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]  # of 100: "OK" ends at 40
    exposed = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (verified.returncode, verified.stderr) == (0, "")
    assert exposed.returncode == 0, exposed.stdout


def allowed_calls() -> set[str]:
    """What SystemCallFilter= of the unit leaves."""
    found: set[str] = set()
    for line in UNIT.read_text().splitlines():
        if line.startswith("SystemCallFilter="):
            names = line.partition("=")[2]
            calls = {call for name in names.removeprefix("~").split() for call in members(name)}
            found = found - calls if names.startswith("~") else found | calls
    return found


def members(group: str) -> Iterator[str]:
    done = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines()[1:]:
        if line.strip().startswith("@"):
            yield from members(line.strip())
        elif not line.strip().startswith("#"):
            yield line.strip()


def test_it_works_with_the_calls_that_the_unit_leaves(ground: Ground, tmp_path: Path) -> None:
    """Those that it makes and the unit forbids fail here as they would there, and it tells all the same."""
    need(shutil.which("systemd-analyze"), "systemd-analyze (package systemd)")
    need(shutil.which("strace"), "strace")
    calls = tmp_path / "calls"
    made = traced(ground, ["-c", "-U", "name", "-o", str(calls)], calls)
    forbidden = made - allowed_calls()
    assert {"recvfrom", "socket"} <= made
    assert forbidden <= {"mbind"}

    inject = [f"--inject={call}:error=EPERM" for call in sorted(forbidden)]
    traced(ground, [*inject, "-e", f"trace={','.join(forbidden) or 'socket'}", "-o", str(calls)], calls)


def traced(ground: Ground, options: list[str], output: Path) -> set[str]:
    """The calls that an exporter made under strace, which has told something meanwhile."""
    program = ground.lab.start(["strace", "-f", *options, *COMMAND, "export"], stderr=subprocess.PIPE, text=True)
    try:
        assert program.stderr is not None
        while READY["export"] not in (line := program.stderr.readline()):
            assert line, "it ended early"
        assert "fourtuple_sockets" in fetched(ground)
        children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        program.communicate(timeout=PATIENCE_S)
    finally:
        program.kill()
    words = {line.split()[-1] for line in output.read_text().splitlines() if line.split()}
    return {word for word in words if re.fullmatch(r"[a-z]\w+", word)} - {"syscall", "total"}
