"""The measures by name, in the order in which they run: what takes most memory comes last."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bench import counting, looking, reading, sweeping
from bench.arena import COMPILE, Contestant, compiled, wait_quiet
from bench.measure import (
    Finding,
    Measure,
    NotMeasuredError,
    Result,
    alternate,
    at_least,
    at_most,
    median,
    median_ratio,
    number,
    spread,
)
from bench.opening import Opening, free_memory_bytes
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.verbs.background import holding, serving
from fourtuple.verbs.lab import Lab

OPENED = 19_800  # as many as fit a process whose limit of open files is 20,000, the usual hard one of a container
RANGE = 64_512  # source ports from 1024 to 65535
MILLION, MOST = 1_000_000, 2_500_000
HOST_TABLE = 262_144  # entries, as a host of this size has them
LARGE_TABLE = 8_388_608  # entries: more than there are sockets, of which a pair has two
MOST_NEEDS_BYTES = 21.5 * 2**30
PAIR_BYTES = 8000  # of kernel memory, roughly
ECHO_S = 8
FILL_SERVER = "fourtuple serve 127.0.0.1:80 --quiet"


def blocks(rounds: int) -> Result:
    """Make a million 4-tuples as columns: TupleSpace.block(5_000, 1_005_000)."""
    spaces = {
        "IPv4, 9 sources × 20 destinations": ("127.0.0.1-9", "127.0.0.1:20000-20019"),
        "IPv6, 255 sources × 20 destinations": ("fd00::1-ff", "[fd00::9]:20000-20019"),
    }
    calls: dict[str, Callable[[], float]] = {}
    for name, (source, end) in spaces.items():
        space = TupleSpace.of([source], range(1024, 65536), [end])
        calls[name] = partial(_took_ms, partial(space.block, 5_000, 1_005_000))
    return Result([Finding(name, median(ms), "ms") for name, ms in alternate(calls, rounds).items()], [])


def help_text(rounds: int) -> Result:
    """Start the command."""
    command = [sys.executable, "-m", "fourtuple", "--help"]
    call = partial(_took_ms, lambda: subprocess.run(command, capture_output=True, check=True))
    return Result([Finding("start to end", median(call() for _ in range(rounds)), "ms")], ["fourtuple --help"])


def limits(rounds: int) -> Result:
    """`fourtuple limits` with 100,000 connections of this host to itself: 200,000 sockets. ss only lists them."""
    ends = "127.0.0.1:80-83"
    commands = {"fourtuple": f"fourtuple limits {ends}", "probed": f"fourtuple limits {ends} --probe", "ss": "ss -Htan"}
    with Lab(ports=range(32768, 61000), hash_entries=HOST_TABLE) as lab:
        prefix = lab.command([])
        with serving(ends, prefix=prefix), holding("100k", ends, prefix=prefix):
            calls = {name: partial(_took_inside_ms, lab, command) for name, command in commands.items()}
            took_ms = alternate(calls, rounds)
    wait_quiet()
    findings = [Finding("answers within", median(took_ms["fourtuple"]) / 1000, "s", at_most(0.5))]
    figures = [f"{name:<14} {spread([ms / 1000 for ms in each], 's')}" for name, each in took_ms.items()]
    setup = [f"fourtuple serve {ends}", f"fourtuple hold 100k {ends}"]
    return Result(findings, [*setup, *commands.values()], figures)


def connect(rounds: int) -> Result:
    """fourtuple.connect compared with socket.create_connection, on an empty range, and with 55 % of it in use."""
    ports = range(32768, 49152)  # of which 55 % fit a process of 20,000 files
    code = f"python -m bench.connecting 80 {20 * rounds}"
    with Lab(ports=ports) as lab, serving("127.0.0.1:80", prefix=lab.command([])):
        done = subprocess.run(
            lab.command([sys.executable, *code.split()[1:]]), capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise NotMeasuredError(done.stderr.strip())
    found = json.loads(done.stdout)
    ratios = {fill: median_ratio(turns["connect"], turns["create_connection"]) for fill, turns in found.items()}
    return Result(
        [
            Finding("an empty range", ratios["empty"], "× create_connection", at_most(1.15)),
            Finding("55 % in use", ratios["half"], "× create_connection", at_most(0.5)),
        ],
        [f"in a lab of {len(ports):,} ports: {code}, beside fourtuple serve 127.0.0.1:80"],
        [
            f"{fill:<6} {name:<18} {spread(values, 'µs')}"
            for fill, turns in found.items()
            for name, values in turns.items()
        ],
    )


def past_65536(rounds: int) -> Result:
    """Open 100,000 connections between two addresses of this host, as the lesson does."""
    found = [_evidence("past-65536")["connections per second"] for _ in range(rounds)]
    return Result([Finding("connections per second", median(found), "/s")], ["fourtuple prove past-65536"])


def slow_lane(rounds: int) -> Result:
    """connect() with 51 % of the range in use, compared with 49 %."""
    found = [_evidence("slow-lane") for _ in range(rounds)]
    findings = []
    for name, key in (("plain", "plain_us"), ("with IP_LOCAL_PORT_RANGE", "with_port_range_us")):
        above, below = ([each[key][level] for each in found] for level in ("51", "49"))
        findings.append(Finding(name, median_ratio(above, below), "×"))
    return Result(findings, ["fourtuple prove slow-lane"])


def open_many(rounds: int) -> Result:
    """Open 19,800 connections to 2 ports, at most 512 in progress, client and server each on one CPU."""
    ports, server = "127.0.0.1 80 81", "fourtuple serve 127.0.0.1:80-81 --quiet"
    with compiled("client", "server") as programs:
        contestants = {
            "fourtuple": Contestant(server, f"python -m bench.opening {OPENED} 127.0.0.1:80-81"),
            "C, epoll": Contestant(f"./server {ports}", f"./client {OPENED} {ports}", programs=programs),
            # Which end the difference comes from: a server that sleeps after each accept() is woken by each connect().
            "C client, fourtuple server": Contestant(server, f"./client {OPENED} {ports}", programs=programs),
            "Python, epoll": _python("plain", "open", ports),
            "asyncio": _python("aio", "open", ports),
        }
        runs = alternate({name: each.run for name, each in contestants.items()}, rounds)
    openings = [_all_held(printed, OPENED) for printed in runs.pop("fourtuple")]
    rates = {"fourtuple": [each.rate_per_s for each in openings]}
    cpu_s = {"fourtuple": [each.opening_cpu_s for each in openings]}
    for name, printed in runs.items():
        rates[name] = [each["held"] / each["elapsed_s"] for each in printed]
        cpu_s[name] = [each["cpu_user_s"] + each["cpu_system_s"] for each in printed]
    findings = [
        Finding(
            f"rate compared with {name}",
            median_ratio(rates["fourtuple"], rates[name]),
            "×",
            at_least(1.2) if name == "C, epoll" else None,
        )
        for name in runs
    ]
    figures = [
        f"{name:<26} {spread(rates[name], '/s'):<38} wall {median(OPENED / rate for rate in rates[name]):.2f} s"
        f"   client CPU {median(cpu_s[name]):.2f} s"
        for name in contestants
    ]
    built = [f"{' '.join(COMPILE)} bench/peers/{name}.c -o {name}" for name in ("client", "server")]
    return Result(findings, [*built, *_commands(contestants)], figures)


def fill(rounds: int) -> Result:
    """Use all 64,512 source ports to one destination: IP_LOCAL_PORT_RANGE compared with no option."""
    contestants = {name: _filling(name) for name in ("late", "plain")}
    runs = alternate({name: partial(_opened, each, RANGE) for name, each in contestants.items()}, rounds)
    took_s = {name: [each.elapsed_s for each in openings] for name, openings in runs.items()}
    ratio = Finding("time, plain compared with late", median_ratio(took_s["plain"], took_s["late"]), "×", at_least(40))
    return Result(
        [ratio], _commands(contestants), [f"{name:<14} {spread(values, 's')}" for name, values in took_s.items()]
    )


def last_ports(rounds: int) -> Result:
    """The same fill, late: time per connect with 99 % of the ports in use, compared with 10 %."""
    contestant = _filling("late")
    openings = [_opened(contestant, RANGE) for _ in range(rounds)]
    windows = {"5 to 15 %": (0.05, 0.15), "94 to 99.5 %": (0.94, 0.995)}
    rates = {
        name: [each.rate_between(int(start * RANGE), int(stop * RANGE)) for each in openings]
        for name, (start, stop) in windows.items()
    }
    ratio = Finding("time per connect, 99 % compared with 10 %", median_ratio(*rates.values()), "×", at_most(1.3))
    return Result([ratio], contestant.commands, [f"{name:<14} {spread(rate, '/s')}" for name, rate in rates.items()])


def echo_10k(rounds: int) -> Result:
    """Echo 32 bytes on 10,000 connections in turn, 2,048 waiting at a time, compared with asyncio at both ends."""
    contestants = {"fourtuple": _echoing("10k", "80"), "asyncio": _python("aio", "echo", "127.0.0.1 80")}
    runs = alternate({name: each.run for name, each in contestants.items()}, rounds)
    rates = {name: [each["answers_per_s"] for each in printed] for name, printed in runs.items()}
    ratio = Finding("messages per second", median_ratio(rates["fourtuple"], rates["asyncio"]), "×", at_least(3))
    return Result([ratio], _commands(contestants), [_echo_line(name, printed) for name, printed in runs.items()])


def echo_200k(rounds: int) -> Result:
    """The same on 200,000 connections, fourtuple only."""
    contestant = _echoing("200k", "80-83")
    printed = [contestant.run() for _ in range(rounds)]
    findings = [
        Finding("messages", median(each["answers_per_s"] for each in printed), "/s"),
        Finding("99 % answered within", median(each["answer_us"]["p99"] / 1000 for each in printed), "ms"),
    ]
    return Result(findings, contestant.commands, [_echo_line("fourtuple", printed)])


def million(rounds: int) -> Result:
    """Hold 1,000,000 connections, one process at each end, in memory that was touched before."""
    contestant = _holding(MILLION, "80-99", "poll")
    openings = [_opened(contestant, MILLION) for _ in range(rounds)]
    share = MILLION // 10
    first = [each.rate_between(0, share) for each in openings]
    last = [each.rate_between(MILLION - share, MILLION) for each in openings]
    user = [each.cpu_user_s / (each.cpu_user_s + each.cpu_system_s) * 100 for each in openings]
    findings = [
        Finding("opened within", median(each.elapsed_s for each in openings), "s", at_most(60)),
        Finding("client, resident memory", median(each.resident_bytes / 1e6 for each in openings), "MB", at_most(48)),
        Finding("client, CPU in user space", median(user), "%", at_most(5)),
        Finding("rate, last 100,000 compared with first", median_ratio(last, first), "×", at_least(0.85)),
    ]
    figures = [
        f"all            {spread([each.rate_per_s for each in openings], '/s')}",
        f"first 100,000  {spread(first, '/s')}",
        f"last 100,000   {spread(last, '/s')}",
        f"client CPU     {spread([each.cpu_user_s for each in openings], 's')} user,"
        f" {spread([each.cpu_system_s for each in openings], 's')} system, closing included",
    ]
    return Result(findings, contestant.commands, figures)


def most(rounds: int) -> Result:
    """Hold 2,500,000 connections, both ends on this host: memory per connection, the kernel's and all other.

    Neither end polls the connections, which saves about 250 bytes each.
    """
    contestant = _holding(MOST, "80-129", "census")
    seconds, pair_bytes = [], []
    for _ in range(rounds):
        wait_quiet(still_s=5)
        free_bytes = free_memory_bytes()
        if free_bytes < MOST_NEEDS_BYTES:
            raise NotMeasuredError(
                f"{free_bytes / 2**30:.1f} GiB of memory are free, it takes {MOST_NEEDS_BYTES / 2**30:.1f}"
            )
        opening = _opened(contestant, MOST)
        seconds.append(opening.elapsed_s)
        pair_bytes.append((free_bytes - opening.free_bytes) / MOST)
    findings = [
        Finding("opened within", median(seconds), "s", at_most(90)),
        Finding("memory per pair", median(pair_bytes) / 1000, "KB", at_most(8)),
    ]
    return Result(findings, contestant.commands, [f"rate           {spread([MOST / s for s in seconds], '/s')}"])


MEASURES: Mapping[str, Measure] = {
    "blocks": Measure(blocks, 5),
    "help": Measure(help_text, 5),
    "limits": Measure(limits, 5),
    "census-40k": Measure(counting.of_sockets(40_000), 5),
    "census-400k": Measure(counting.of_sockets(400_000), 5),
    "census-psutil": Measure(counting.beside_psutil, 5),
    "census-beside": Measure(counting.few_of_many, 5),
    "export": Measure(counting.exporter, 5),
    "export-netns": Measure(counting.everywhere, 3),
    "snapshot": Measure(counting.snapshot, 5),
    "reading": Measure(reading.logs, 5),
    "connect": Measure(connect, 5),
    "past-65536": Measure(past_65536, 1),
    "slow-lane": Measure(slow_lane, 1),
    "open": Measure(open_many, 5),
    "fill": Measure(fill, 1),
    "last-ports": Measure(last_ports, 5),
    "echo-10k": Measure(echo_10k, 5),
    "echo-200k": Measure(echo_200k, 1),
    "doctor": Measure(sweeping.sweep, 3),
    "report": Measure(looking.report, 3),
    "charts": Measure(looking.charts, 3),
    "census-2M": Measure(counting.of_sockets(2_000_000), 3),
    "live": Measure(looking.live, 1),
    "million": Measure(million, 1),
    "most": Measure(most, 1),
}


def _python(peer: str, verb: str, ports: str) -> Contestant:
    wanted = {"open": f"{OPENED}", "echo": f"10000 {ECHO_S}"}[verb]
    return Contestant(
        f"python -m bench.peers.{peer} serve {ports}", f"python -m bench.peers.{peer} {verb} {wanted} {ports}"
    )


def _filling(strategy: str) -> Contestant:
    return Contestant(FILL_SERVER, f"python -m bench.opening --strategy {strategy} {RANGE} 127.0.0.1:80")


def _holding(wanted: int, ports: str, watch: str) -> Contestant:
    server = f"fourtuple serve 127.0.0.1:{ports} --watch {watch} --quiet"
    client = f"python -m bench.opening --watch {watch} {wanted} 127.0.0.1:{ports}"
    return Contestant(server, client, LARGE_TABLE, warm_bytes=wanted * PAIR_BYTES)


def _echoing(wanted: str, ports: str) -> Contestant:
    talk = f"--send 32B --expect 32B --every 0s --for {ECHO_S}s --json"
    return Contestant(
        f"fourtuple serve --echo 127.0.0.1:{ports} --quiet", f"fourtuple hold {wanted} 127.0.0.1:{ports} {talk}"
    )


def _opened(contestant: Contestant, wanted: int) -> Opening:
    return _all_held(contestant.run(), wanted)


def _all_held(printed: dict[str, Any], wanted: int) -> Opening:
    opening = Opening.of(printed)
    if opening.held < wanted:
        raise NotMeasuredError(f"{opening.held:,} of {wanted:,} were held; failed: {opening.failed}")
    return opening


def _commands(contestants: Mapping[str, Contestant]) -> list[str]:
    return [line for each in contestants.values() for line in each.commands]


def _echo_line(name: str, printed: Sequence[Mapping[str, Any]]) -> str:
    took_ms = {share: median(each["answer_us"][share] / 1000 for each in printed) for share in ("p50", "p99", "max")}
    told = "   ".join(f"{share} {number(value)} ms" for share, value in took_ms.items())
    return f"{name:<14} {spread([each['answers_per_s'] for each in printed], '/s'):<38} {told}"


def _evidence(lesson: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "fourtuple", "prove", lesson, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(f"the lesson ended with {done.returncode}")
    evidence: dict[str, Any] = json.loads(done.stdout)["lessons"][0]["evidence"]
    return evidence


_TIMED = """
import subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(1000 * (time.perf_counter() - start))
"""


def _took_inside_ms(lab: Lab, command: str) -> float:
    """From start to end, without the way into the lab."""
    program, *arguments = command.split()
    words = [sys.executable, "-m", program] if program == "fourtuple" else [program]
    with lab.start([sys.executable, "-c", _TIMED, *words, *arguments], stdout=subprocess.PIPE, text=True) as running:
        output, _ = running.communicate()
    if running.returncode:
        raise NotMeasuredError(f"{command} failed")
    return float(output)


def _took_ms(call: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start_ns) / 1e6
