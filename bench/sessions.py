"""What sessions cost: TLS handshakes and memory, HTTP requests, WebSockets, beside the programs of others."""

import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from bench.arena import HASH_ENTRIES, Contestant, commands_of
from bench.crowds import FULL, LARGE_TABLE
from bench.measure import (
    Finding,
    NotMeasuredError,
    Result,
    alternate,
    at_least,
    at_most,
    median,
    median_ratio,
    spread,
)
from bench.opening import Opening

NGINX = "python -m bench.nginx 80 443"
HTTP, HTTPS = "http://127.0.0.1:80/", "https://127.0.0.1:443/"
FEW = 500  # sessions with which everything is there that is there once
ENDS = "127.0.0.1:80-83"


def tls(rounds: int, wanted: int = 5_000, seconds: int = 5) -> Result:
    """TLS 1.3 handshakes with nginx (ECDSA P-256), each end on a CPU of its own, compared with `openssl s_time -new`.

    5,000 sessions are opened and held; s_time ends each before it begins the next. Neither verifies the certificate.
    """
    _need("nginx", "openssl")
    ours, other = "fourtuple", "openssl s_time"
    contestants = {
        ours: Contestant(NGINX, f"python -m bench.opening --workers 1 --insecure {wanted} {HTTPS}"),
        other: Contestant(NGINX, f"python -m bench.load s_time {seconds} 127.0.0.1:443"),
    }
    runs = _alternate(contestants, rounds)
    openings = [Opening.of(printed, wanted) for printed in runs[ours]]
    cpu = {ours: [each.per_cpu_s for each in openings], other: _rates(runs[other], "cpu_s")}
    wall = {ours: [each.rate_per_s for each in openings], other: _rates(runs[other], "elapsed_s")}
    findings = [
        Finding("handshakes per CPU second of the client", median_ratio(*cpu.values()), "× s_time", at_least(0.8)),
        Finding("handshakes per second", median_ratio(*wall.values()), "× s_time"),
    ]
    figures = [
        f"{name:<15} {spread(cpu[name], 'per CPU second'):<46} {spread(wall[name], '/s')}" for name in contestants
    ]
    return Result(findings, commands_of(contestants), figures)


def tls_memory(rounds: int, wanted: int = 20_000, few: int = FEW) -> Result:
    """Hold 20,000 TLS sessions to nginx in one process: its resident memory, less that with 500, per session."""
    _need("nginx", "openssl")
    many, some = (
        Contestant(f"{NGINX} --workers 2", f"python -m bench.opening --workers 1 --insecure {count} {HTTPS}")
        for count in (wanted, few)
    )
    contestants = {f"{wanted:,}": many, f"{few:,}": some}
    runs = _alternate(contestants, rounds)
    resident = {name: [each["resident_bytes"] for each in printed] for name, printed in runs.items()}
    for printed, count in zip(runs.values(), (wanted, few), strict=True):
        _check_held(printed, count)
    each_kb = [(above - below) / (wanted - few) / 1000 for above, below in zip(*resident.values(), strict=True)]
    return Result(
        [Finding("resident memory per session", median(each_kb), "KB", at_most(30))],
        commands_of(contestants),
        [f"{name:<7} {spread([size / 1e6 for size in sizes], 'MB')}" for name, sizes in resident.items()],
    )


def http(rounds: int, connections: int = 1_000, seconds: int = 3) -> Result:
    """HTTP requests to nginx on 1,000 keep-alive connections, each end on a CPU of its own: beside wrk and Python.

    A closed loop: each connection sends its next request when it has its answer. wrk has one thread.
    """
    _need("nginx", "openssl", "wrk")
    ours, talk = "fourtuple", f"--every 0s --for {seconds}s --workers 1 --json"
    contestants = {
        ours: Contestant(NGINX, f"fourtuple hold {connections} {HTTP} {talk}"),
        "wrk": Contestant(NGINX, f"python -m bench.load wrk {seconds} {connections} {HTTP}"),
    } | {
        name: Contestant(NGINX, f"python -m bench.peers.asking {name} {seconds} {connections} {HTTP}")
        for name in ("httpx", "aiohttp")
        if find_spec(name)
    }
    runs = _alternate(contestants, rounds)
    others = [name for name in contestants if name != ours]
    wall = {ours: [each["answers_per_s"] for each in runs[ours]]} | {
        name: _rates(runs[name], "elapsed_s") for name in others
    }
    cpu = {
        ours: [each["answers"] / (each["cpu_user_s"] + each["cpu_system_s"]) for each in runs[ours]],
        **{name: _rates(runs[name], "cpu_s") for name in others},
    }
    goals = {"wrk": at_least(0.5), "httpx": at_least(5), "aiohttp": at_least(5)}
    findings = [
        Finding("requests per second", median_ratio(wall[ours], wall[name]), f"× {name}", goals[name])
        for name in others
    ]
    figures = [f"{name:<10} {spread(wall[name], '/s'):<40} {spread(cpu[name], 'per CPU second')}" for name in wall]
    return Result(findings, commands_of(contestants), figures)


def websockets(rounds: int, wanted: int = 200_000, few: int = 150_000) -> Result:
    """Hold 200,000 WebSockets to `fourtuple serve --websocket`, one process at each end, compared with bare TCP.

    Memory is what is resident when all are held: what each session adds beyond the first 150,000, and all together.
    Opening lasts until all sessions are established.
    """
    web, bare, few_web, few_bare = "WebSockets", "bare TCP", f"{few:,} WebSockets", f"{few:,} bare TCP"
    contestants = {
        web: _holding(wanted, f"ws://{ENDS}/", "--websocket"),
        bare: _holding(wanted, ENDS),
        few_web: _holding(few, f"ws://{ENDS}/", "--websocket"),
        few_bare: _holding(few, ENDS),
    }
    printed = _alternate(contestants, rounds)
    runs = {
        name: [Opening.of(each, wanted if name in (web, bare) else few) for each in printed[name]]
        for name in contestants
    }
    more = [one.resident_bytes - other.resident_bytes for one, other in zip(runs[web], runs[bare], strict=True)]
    more_of_few = [
        one.resident_bytes - other.resident_bytes for one, other in zip(runs[few_web], runs[few_bare], strict=True)
    ]
    each = [(many - some) / (wanted - few) for many, some in zip(more, more_of_few, strict=True)]
    rates = {name: [opening.rate_per_s for opening in runs[name]] for name in (web, bare)}
    cpu = {name: [opening.per_cpu_s for opening in runs[name]] for name in (web, bare)}
    findings = [
        Finding("memory that each adds, more than bare TCP", median(each), "bytes", at_most(16)),
        Finding("what is there once included", median(more) / wanted, "bytes"),
        Finding("opening rate", median_ratio(*rates.values()), "× bare TCP", at_least(0.4)),
        Finding("opened per CPU second of the client", median_ratio(*cpu.values()), "× bare TCP"),
    ]
    figures = [
        f"{name:<11} {spread(rates[name], '/s'):<38} {spread(cpu[name], 'per CPU second')}" for name in (web, bare)
    ] + [
        f"{name:<17} {spread([opening.resident_bytes / 1e6 for opening in openings], 'MB')}"
        for name, openings in runs.items()
    ]
    return Result(findings, commands_of(contestants), figures)


def _holding(wanted: int, ends: str, server: str = "") -> Contestant:
    """One process at each end."""
    served = f"fourtuple serve {ENDS} --quiet --workers 1 {server}".strip()
    table = LARGE_TABLE if 2 * wanted > HASH_ENTRIES * FULL else HASH_ENTRIES
    return Contestant(served, f"python -m bench.opening --workers 1 {wanted} {ends}", hash_entries=table)


def _need(*programs: str) -> None:
    if missing := [name for name in programs if shutil.which(name) is None]:
        raise NotMeasuredError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here")


def _alternate(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What each printed, by round."""
    return alternate({name: each.run for name, each in contestants.items()}, rounds)


def _check_held(runs: Sequence[dict[str, Any]], wanted: int) -> None:
    """Raises NotMeasuredError if one of them held fewer."""
    for printed in runs:
        Opening.of(printed, wanted)


def _rates(runs: Sequence[Mapping[str, float]], per: str) -> list[float]:
    return [each["done"] / each[per] for each in runs]
