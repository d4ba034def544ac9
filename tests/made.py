"""Made-up runs for tests of the store and the screens: exact and repeatable."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fourtuple.core.limits.facts import Memory
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.conclude import HoldEnding, conclude
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.histogram import add_values
from fourtuple.core.runs.judge import agrees, judge_hold, judge_serve
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.memory import MemoryUse, PartUse
from fourtuple.core.runs.orders import HoldOptions, HoldOrder
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.proof import HOLDS, Ground, Result
from fourtuple.core.runs.records import HoldRecord, Sample, Seen, ServeRecord, Witness
from fourtuple.core.runs.slices import Plan, split
from fourtuple.core.runs.spread import PairUse, Sharing
from fourtuple.core.runs.start import Changed, Found, Planned, Start
from fourtuple.core.space.endpoints import Resolved
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace

BEGAN_NS = 5_000_000_000_000
LOOP_BECAUSE = "io_uring is here"  # not today's words: data/version-1.db holds these


def found(**other: Any) -> Found:
    said = Found(
        fourtuple="0.1.0",
        python="3.11.7",
        host="loadbox",
        machine="0123456789abcdef",
        kernel="6.18.1",
        cpu="A Processor",
        cpus=2,
        memory_bytes=8 * 2**30,
        free_bytes=7 * 2**30,
        free_where="on this host",
        files_soft=20_000,
        files_hard=20_000,
        files_open=7,
        uid=1000,
        sysctls={"net.core.somaxconn": "4096", "net.ipv4.ip_local_port_range": "32768\t60999", "fs.file-nr": "1\t0\t9"},
    )
    return replace(said, **other)


THREE = ("192.0.2.9", "192.0.2.10", "192.0.2.11")
RESOLVED = Resolved("db.example", THREE, used=THREE)


def start(kind: str = "hold", *, wanted: int | None = 1000, **other: Any) -> Start:
    planned = Planned(
        destinations=("127.0.0.1:8000-8003",),
        sources=("127.0.0.1",),
        strategy="late" if wanted else None,
        loop="ring",
        loop_because=LOOP_BECAUSE,
        workers=1,
        run_s=10,
        wanted=wanted,
        predicted=wanted,
        predicted_least=wanted,
        pairs=4,
        usable=500,
    )
    return Start(
        kind=kind,
        started_at="2026-11-20T12:00:00.000+00:00",
        at_ns=BEGAN_NS,
        found=found(**other),
        changed=(Changed("RLIMIT_NOFILE (soft) of its own processes", "1024", "20000"),),
        planned=None if kind == "prove" else planned,
    )


def samples(
    count: int = 40, *, every_s: float = 0.25, opening: int = 20, wanted: int = 1000, slow_from: float = 2.0
) -> Iterator[Sample]:
    """`opening` samples in which `wanted` connections are opened, then the holding, and a last one when all is closed.

    slow_from: from that share of the wanted on, a connect takes 50 times as long
    """
    began = start(wanted=wanted)
    row = np.zeros(1, COUNTERS)
    row["wanted"], row["capacity"], row["first_start_ns"] = wanted, wanted, BEGAN_NS
    random = np.random.default_rng(7)
    for number in range(count):
        at_ns = BEGAN_NS + round((number + 1) * every_s * 1e9)
        goal = min(wanted, wanted * (number + 1) // opening)
        new = goal - int(row["opened"][0])
        if new:
            row["last_open_ns"] = at_ns
            us = random.uniform(15, 30, new) * (50 if goal > slow_from * wanted else 1)
            add_values(row[0]["connect_us"], us)
            row["pairs"][0, :4] += np.bincount(np.arange(goal - new, goal) % 4, minlength=4)
        row["opened"], row["open"], row["started"] = goal, goal, goal
        row["rss_bytes"], row["cpu_user_us"] = 30 * 2**20, 1000 * number
        row["phase"] = Phase.OPENING if goal < wanted else Phase.HOLDING
        if number == count - 1:
            row["phase"], row["open"], row["closed"], row["open_at_end"] = Phase.CLOSED, 0, goal, goal
        holding = row["phase"][0] >= Phase.HOLDING
        yield replace(
            Sample.of(row, at_ns),
            start=began,
            seen=Seen(goal, goal * 8000, {"TCPSynRetrans": 3} if holding else {}),
            census=Witness(wanted, wanted, wanted, "sock_diag") if holding else None,
        )


def options(**other: Any) -> HoldOptions:
    return HoldOptions.of(**{"wanted": 1000, "destinations": ["127.0.0.1:8000-8003"], "hold_s": 5.0, **other})


def order(*, room: int = 1000, workers: int = 1, **other: Any) -> HoldOrder:
    """The start of a hold of 1,000 connections to four destinations, both ends here. room: 4-tuples available"""
    space = TupleSpace.of(["127.0.0.1"], range(32768, 33268), ["127.0.0.1:8000-8003"])
    pace = OpeningPace.of(1000, None)
    made = HoldOrder(
        options=options(),
        start=start(),
        plan=Plan(1000, Interval.of(room), space, Strategy.LATE, split(1000, space.size, workers, pace)),
        loop=LoopName.RING,
        loop_because=LOOP_BECAUSE,
        bind=False,
        any_source=False,
        here=True,
        port_range=range(32768, 61000),
        free=Memory(7 * 2**30),
        share=0.9,
    )
    return replace(made, **other)


def ending(held_until_ns: int, **other: Any) -> HoldEnding:
    made = HoldEnding(
        began_ns=0,
        stopped_by=None,
        held_until_ns=held_until_ns,
        census_at_end=Witness(1000, 1000, 1000, "sock_diag", 1000, 1000),
        closing_s=0.1,
        left=0,
        listen_overflows=0,
        syn_retransmits=3,
        moved={"TCPSynRetrans": 3, "InOctets": 99},
        time_wait_left=0,
        sharing=Sharing(
            ports=500,
            carrying={1: 200, 2: 150, 3: 100, 4: 50},
            busiest=32_768,
            usable=500,
            pairs=tuple(PairUse("127.0.0.1", f"127.0.0.1:800{number}", 1, 250) for number in range(4)),
        ),
        memory=MemoryUse(
            connections=1000,
            ends=2,
            model_bytes=8000,
            measured_bytes=8200,
            parts=(
                PartUse("socket", "struct tcp_sock", 5040, 5041.5),
                PartUse("user space", "resident memory of the client", None, 31_457.3),
            ),
        ),
        interrupted=False,
        workers_killed=0,
    )
    return replace(made, **other)


def hold_record(**other: Any) -> HoldRecord:
    run = list(samples())
    full_ns = next(sample.at_ns for sample in run if sample.phase >= Phase.HOLDING)
    record = replace(conclude(order(), run, ending(full_ns + 5_000_000_000)), **other)
    record = replace(record, agree=agrees(record))
    return replace(record, outcome=other.get("outcome") or judge_hold(record))


def serve_record(**other: Any) -> ServeRecord:
    record = ServeRecord(
        listening=("127.0.0.1:8000-8003",),
        accepted=1000,
        most_open=990,
        open=0,
        closed=0,
        lost=1000,
        lost_by={"ECONNRESET": 900, "FIN": 100},
        failed={},
        greeted=0,
        received_bytes=5000,
        sent_bytes=5000,
        listen_overflows=0,
        moved={},
        elapsed_s=10.0,
        interrupted=True,
        loop="ring",
        loop_because=LOOP_BECAUSE,
        workers=1,
        workers_killed=0,
        rss_bytes=30 * 2**20,
        cpu_user_s=0.5,
        cpu_system_s=1.5,
    )
    record = replace(record, **other)
    return replace(record, outcome=other.get("outcome") or judge_serve(record))


def ground() -> Ground:
    return Ground(None, start("prove"))


def result(name: str = "same-port", verdict: str = HOLDS) -> Result:
    return Result(
        name=name,
        claim="one local port carries two connections at once",
        did="connect 127.0.0.1:3000 to 127.0.0.1:8000 and to 127.0.0.1:8001",
        predicted={"established": 2, "the server closed": True},
        observed={"established": 2 if verdict == HOLDS else 1, "the server closed": True},
        verdict=verdict,
        why="" if verdict == HOLDS else "prediction and observation differ: established",
        seconds=3.2,
        evidence={"client": ["127.0.0.1:3000 → 127.0.0.1:8000", "127.0.0.1:3000 → 127.0.0.1:8001"], "rate": 27_986},
    )
