"""How many connections per second are opened, used for one exchange and closed, beside a client in C."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.arena import Contestant, build_commands, commands_of, compiled
from bench.echoes import C_SERVER
from bench.measure import Finding, Result, alternate, at_least, median, median_ratio, number, spread

FLOWS, CHURN_S = 512, 3
TOO_MANY = "50k/s"  # a rate that cannot be kept: a connection follows each one that is closed


def churn(rounds: int, flows: int = FLOWS, seconds: float = CHURN_S) -> Result:
    """Connect, send 32 bytes, receive 32 bytes and close by reset, at most 512 connections at once; echo server in C.

    A closed loop, each end on a CPU of its own. The client in C works in the manner of neper's tcp_crr.
    """
    ours, c = "fourtuple", "C"
    talk = f"--send 32B --expect 32B --at-once {flows} --for {seconds:g}s --arrivals even --require failed=0,lost=0"
    with compiled("crr_client", "echo_server") as programs:
        contestants = {
            ours: Contestant(
                C_SERVER,
                f"fourtuple churn {TOO_MANY} 127.0.0.1:80 {talk} --workers 1 --no-store --json",
                programs=programs,
            ),
            c: Contestant(C_SERVER, f"./crr_client {flows} {seconds:g} 127.0.0.1 80", programs=programs),
        }
        runs = alternate({name: each.run for name, each in contestants.items()}, rounds)
    rates = {name: [each["completed_per_s"] for each in printed] for name, printed in runs.items()}
    costs = {name: [_cpu_us(each) for each in printed] for name, printed in runs.items()}
    findings = [
        Finding("connections per second compared with C", median_ratio(rates[ours], rates[c]), "×", at_least(1.0)),
        Finding("connections per CPU second compared with C", median_ratio(costs[c], costs[ours]), "×"),
    ]
    commands = [*build_commands("crr_client", "echo_server"), *commands_of(contestants)]
    return Result(findings, commands, [_line(name, printed) for name, printed in runs.items()])


def _cpu_us(printed: Mapping[str, Any]) -> float:
    """CPU time per connection."""
    cpu_s: float = printed["cpu_user_s"] + printed["cpu_system_s"]
    completed: int = printed["completed"]
    return cpu_s / max(1, completed) * 1e6


def _line(name: str, printed: Sequence[Mapping[str, Any]]) -> str:
    took_ms = {share: median(each["last_service_us"][share] / 1000 for each in printed) for share in ("p50", "p99")}
    told = "   ".join(f"{share} {number(value)} ms" for share, value in took_ms.items())
    rate, cpu = (spread([each["completed_per_s"] for each in printed], "/s"), spread(list(map(_cpu_us, printed)), "µs"))
    return f"{name:<10} {rate:<38} CPU {cpu:<30} {told}"
