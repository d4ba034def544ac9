"""How fast connections are opened: beside C and Python, on one CPU and on all, and where the range is nearly full."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.arena import ANY_CPU, CPUS, SERVER_CPU, Contestant, build_commands, commands_of, compiled
from bench.measure import (
    Finding,
    Result,
    alternate,
    at_least,
    at_most,
    median,
    median_ratio,
    number,
    spread,
)
from bench.opening import Opening

OPENED = 19_800  # as many as fit a process whose limit of open files is 20,000, the usual hard one of a container
MANY, MANY_PORTS = 200_000, "80-83"
RANGE = 64_512  # source ports from 1024 to 65535
DEFAULT_PORTS = range(32768, 61000)  # `plain` takes four times as long for twice as many: two minutes for RANGE
ENDS, C_ENDS = "127.0.0.1:80-81", "127.0.0.1 80 81"
SERVER = f"fourtuple serve {ENDS} --quiet"
# On the machine for which goals in seconds were set, this client opened so many per second.
YARDSTICK, YARDSTICK_PER_S = "C client, fourtuple server", 105_000


def open_pinned(rounds: int, wanted: int = OPENED) -> Result:
    """Open 19,800 connections to 2 ports, one process at each end, each on a CPU of its own, compared with C.

    At most 512 connects of the C client are in progress.
    """
    one = "--workers 1"
    with compiled("client", "server") as programs:
        contestants = {
            "fourtuple": Contestant(f"{SERVER} {one}", f"python -m bench.opening {one} {wanted} {ENDS}"),
            # Which end the difference comes from: a server that sleeps after each accept() is woken by each connect().
            YARDSTICK: Contestant(f"{SERVER} {one}", f"./client {wanted} {C_ENDS}", programs=programs),
            "C at both ends": Contestant(f"./server {C_ENDS}", f"./client {wanted} {C_ENDS}", programs=programs),
            "Python, epoll": _python("plain", wanted),
            "asyncio": _python("aio", wanted),
        }
        runs = alternate({name: each.run for name, each in contestants.items()}, rounds)
    return _compared(runs, contestants, wanted, {YARDSTICK: 1.0})


def open_free(rounds: int, wanted: int = OPENED) -> Result:
    """The same, default options at both ends, on whichever CPUs the scheduler chooses."""
    with compiled("client", "server") as programs:
        free = partial(Contestant, server_cpus=ANY_CPU, client_cpus=ANY_CPU)
        contestants = {
            "fourtuple": free(SERVER, f"python -m bench.opening {wanted} {ENDS}"),
            "C at both ends": free(f"./server {C_ENDS}", f"./client {wanted} {C_ENDS}", programs=programs),
        }
        runs = alternate({name: each.run for name, each in contestants.items()}, rounds)
    return _compared(runs, contestants, wanted, {"C at both ends": 1.3})


def open_workers(rounds: int, wanted: int = MANY) -> Result:
    """Open 200,000 connections with as many workers as `hold` chooses, compared with one; server pinned to one CPU.

    The client has all other CPUs where there are three or more. With two it has both, so one of its workers shares a
    CPU with the server; the server that no CPU is chosen for is told beside that.
    """
    client_cpus = ",".join(str(cpu) for cpu in CPUS if len(CPUS) < 3 or str(cpu) != SERVER_CPU)
    ends = f"127.0.0.1:{MANY_PORTS}"

    def client(options: str, server_cpus: str) -> Contestant:
        command = f"python -m bench.opening {options}{wanted} {ends}"
        return Contestant(f"fourtuple serve {ends} --quiet", command, server_cpus, client_cpus)

    contestants = {
        "default": client("", SERVER_CPU),
        "--workers 1": client("--workers 1 ", SERVER_CPU),
        "default, server free": client("", ANY_CPU),
        "--workers 1, server free": client("--workers 1 ", ANY_CPU),
    }
    runs = alternate({name: partial(opened, each, wanted) for name, each in contestants.items()}, rounds)
    rates = {name: [each.rate_per_s for each in openings] for name, openings in runs.items()}
    default, single, default_free, single_free = rates.values()
    findings = [
        Finding("rate, default compared with --workers 1", median_ratio(default, single), "×", at_least(1.6)),
        Finding("the same, server free", median_ratio(default_free, single_free), "×"),
    ]
    figures = [
        f"{name:<26} {spread(rates[name], '/s'):<38} workers {openings[0].workers}" for name, openings in runs.items()
    ]
    return Result(findings, commands_of(contestants), figures)


def user_time(rounds: int, wanted: int = MANY) -> Result:
    """User time per connection of 200,000, one process: getrusage(), first to last sample of the opening phase."""
    contestant = _one_process(wanted, f"127.0.0.1:{MANY_PORTS}")
    openings = [opened(contestant, wanted) for _ in range(rounds)]
    each_us = [opening.user_us_each for opening in openings]
    system_us = [opening.opening_cpu_s / wanted * 1e6 - opening.user_us_each for opening in openings]
    return Result(
        [Finding("user time per connection", median(each_us), "µs", at_most(1.5))],
        contestant.commands,
        [f"user    {spread(each_us, 'µs')}", f"system  {spread(system_us, 'µs')}"],
    )


def fill(rounds: int, wanted: int = len(DEFAULT_PORTS)) -> Result:
    """Use all 28,232 ports of the default range to one destination: IP_LOCAL_PORT_RANGE compared with no option."""
    contestants = {name: _filling(name, wanted, ports=DEFAULT_PORTS) for name in ("late", "plain")}
    runs = alternate({name: partial(opened, each, wanted) for name, each in contestants.items()}, rounds)
    took_s = {name: [each.elapsed_s for each in openings] for name, openings in runs.items()}
    ratio = Finding("time, plain compared with late", median_ratio(took_s["plain"], took_s["late"]), "×", at_least(8))
    return Result(
        [ratio], commands_of(contestants), [f"{name:<14} {spread(values, 's')}" for name, values in took_s.items()]
    )


def last_ports(rounds: int, wanted: int = RANGE) -> Result:
    """Use all 64,512 source ports to one destination: time per connect with 99 % in use, compared with 10 %."""
    contestant = _filling("late", wanted)
    openings = [opened(contestant, wanted) for _ in range(rounds)]
    windows = {"5 to 15 %": (0.05, 0.15), "94 to 99.5 %": (0.94, 0.995)}
    rates = {
        name: [each.rate_between(int(start * wanted), int(stop * wanted)) for each in openings]
        for name, (start, stop) in windows.items()
    }
    ratio = Finding("time per connect, 99 % compared with 10 %", median_ratio(*rates.values()), "×", at_most(1.3))
    return Result([ratio], contestant.commands, [f"{name:<14} {spread(rate, '/s')}" for name, rate in rates.items()])


def opened(contestant: Contestant, wanted: int) -> Opening:
    """Run one whose client is bench.opening."""
    return Opening.of(contestant.run(), wanted)


def slowness(wanted: int) -> float:
    """How many times as long as on the machine of YARDSTICK_PER_S opening takes here, by the client in C."""
    server = f"{SERVER} --workers 1"
    with compiled("client") as programs:
        contestant = Contestant(server, f"./client {wanted} {C_ENDS}", programs=programs)
        rates = [printed["held"] / printed["elapsed_s"] for printed in (contestant.run() for _ in range(3))]
    return YARDSTICK_PER_S / median(rates)


def _one_process(wanted: int, ends: str) -> Contestant:
    server = f"fourtuple serve {ends} --quiet --workers 1"
    return Contestant(server, f"python -m bench.opening --workers 1 {wanted} {ends}")


def _filling(strategy: str, wanted: int, **options: Any) -> Contestant:
    client = f"python -m bench.opening --strategy {strategy} {wanted} 127.0.0.1:80"
    return Contestant("fourtuple serve 127.0.0.1:80 --quiet", client, **options)


def _python(peer: str, wanted: int) -> Contestant:
    program = f"python -m bench.peers.{peer}"
    return Contestant(f"{program} serve {C_ENDS}", f"{program} open {wanted} {C_ENDS}")


def _compared(
    runs: Mapping[str, list[dict[str, Any]]],
    contestants: Mapping[str, Contestant],
    wanted: int,
    least: Mapping[str, float],
) -> Result:
    """The rate of fourtuple compared with each of the others.

    runs:  what each of the contestants printed, fourtuple first
    least: the goals, by the name of the other
    """
    ours, *others = contestants
    openings = [Opening.of(printed, wanted) for printed in runs[ours]]
    rates = {ours: [each.rate_per_s for each in openings]}
    cpu_s = {ours: [each.opening_cpu_s for each in openings]}
    for name in others:
        rates[name] = [each["held"] / each["elapsed_s"] for each in runs[name]]
        cpu_s[name] = [each["cpu_user_s"] + each["cpu_system_s"] for each in runs[name]]
    findings = [
        Finding(
            f"rate compared with {name}",
            median_ratio(rates[ours], rates[name]),
            "×",
            at_least(least[name]) if name in least else None,
        )
        for name in others
    ]
    figures = [
        f"{name:<26} {spread(rates[name], '/s'):<38} wall {number(wanted / median(rates[name]))} s"
        f"   client CPU {number(median(cpu_s[name]))} s"
        for name in contestants
    ]
    return Result(findings, [*build_commands("client", "server"), *commands_of(contestants)], figures)
