"""How many messages per second go out and come back, beside clients and servers in C and Python."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.arena import Contestant, build_commands, commands_of, compiled
from bench.measure import Finding, Result, alternate, at_least, median, median_ratio, number, spread

IN_FLIGHT = 2048  # messages that `hold --every 0s` has on their way at most; the C client gets the same load
ECHO_S = 2
SERVER, C_SERVER = "fourtuple serve --echo 127.0.0.1:80 --quiet --workers 1", "./echo_server 127.0.0.1 80"


def echo_10k(rounds: int, connections: int = 10_000, seconds: float = ECHO_S) -> Result:
    """Echo 32 bytes on 10,000 connections, each end on a CPU of its own: fourtuple and C at either end.

    A closed loop, without pauses: 2,048 messages are on their way at any time, at most one on each connection, and the
    connections take turns. The last contestant has one on every connection at any time, as neper's tcp_rr does.
    """
    return _echo(rounds, connections, seconds)


def echo_1k(rounds: int, connections: int = 1_000, seconds: float = ECHO_S) -> Result:
    """The same on 1,000 connections: each has a message on its way at any time."""
    return _echo(rounds, connections, seconds)


def _echo(rounds: int, connections: int, seconds: float) -> Result:
    ours, c, every = "fourtuple", "C at both ends", "C, on every connection"
    with compiled("echo_client", "echo_server") as programs:

        def contestant(server: str, client: str) -> Contestant:
            return Contestant(server, client, programs=programs)

        talk = f"--send 32B --expect 32B --every 0s --for {seconds:g}s --workers 1 --json"
        our_client = f"fourtuple hold {connections} 127.0.0.1:80 {talk}"
        load = f"{connections} {min(IN_FLIGHT, connections)} {seconds:g} 127.0.0.1 80"
        c_client = f"./echo_client {load}"
        contestants = {
            ours: contestant(SERVER, our_client),
            c: contestant(C_SERVER, c_client),
            "client fourtuple, server C": contestant(C_SERVER, our_client),
            "client C, server fourtuple": contestant(SERVER, c_client),
            "ring entries alone, server C": contestant(C_SERVER, f"python -m bench.peers.bare {load}"),
        }
        if connections > IN_FLIGHT:
            client = f"./echo_client {connections} {connections} {seconds:g} 127.0.0.1 80"
            contestants[every] = contestant(C_SERVER, client)
        runs = alternate({name: each.run for name, each in contestants.items()}, rounds)
    rates = {name: [each["answers_per_s"] for each in printed] for name, printed in runs.items()}
    findings = [
        Finding(
            f"messages per second compared with {name}",
            median_ratio(rates[ours], rates[name]),
            "×",
            at_least(1.2) if name in (c, every) else None,
        )
        for name in contestants
        if name != ours
    ]
    commands = [*build_commands("echo_client", "echo_server"), *commands_of(contestants)]
    return Result(findings, commands, [_line(name, printed) for name, printed in runs.items()])


def _line(name: str, printed: Sequence[Mapping[str, Any]]) -> str:
    rates = spread([each["answers_per_s"] for each in printed], "/s")
    if "answer_us" not in printed[0]:
        return f"{name:<28} {rates}"
    took_ms = {share: median(each["answer_us"][share] / 1000 for each in printed) for share in ("p50", "p99", "max")}
    told = "   ".join(f"{share} {number(value)} ms" for share, value in took_ms.items())
    return f"{name:<28} {rates:<38} {told}"
