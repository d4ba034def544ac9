"""A made-up churn for tests of the store and the screens: exact and repeatable."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fourtuple.core.runs.churn_conclude import ChurnEnding, ChurnStory
from fourtuple.core.runs.churn_judge import judge_churn
from fourtuple.core.runs.churn_orders import ChurnOptions, ChurnOrder
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.histogram import add_values
from fourtuple.core.runs.records import Sample, Seen
from fourtuple.core.talk.lifetime import parse_lifetime
from tests import made

RATE_PER_S, RUN_S = 1000.0, 4.0


def churn_options(**other: Any) -> ChurnOptions:
    default = {"run_s": RUN_S, "lifetime": parse_lifetime("100ms"), "even": True, "send": b"ping", "expect": b"ping"}
    return ChurnOptions.of(**{"rate_per_s": RATE_PER_S, "destinations": ["127.0.0.1:8000-8003"], **default, **other})


def churn_order(**other: Any) -> ChurnOrder:
    """The start of a churn of 1,000 per second for 4 s, both ends here."""
    start = made.start("churn", wanted=None)
    assert start.planned is not None
    planned = replace(start.planned, strategy="late", rate_per_s=RATE_PER_S, run_s=RUN_S)
    hold, options = made.order(), churn_options()
    order = ChurnOrder(
        options=options,
        start=replace(start, planned=planned),
        plan=replace(hold.plan, wanted=options.slots),
        seed=7,
        ports=None,
        loop=hold.loop,
        loop_because=hold.loop_because,
        bind=False,
        here=True,
        port_range=hold.port_range,
        free=hold.free,
        share=0.9,
    )
    return replace(order, **other)


def churn_samples(order: ChurnOrder | None = None, *, every_s: float = 0.25) -> Iterator[Sample]:
    """As many connections as the rate says in each sample, of which 100 are open; at the end none."""
    order = order or churn_order()
    row = np.zeros(1, COUNTERS)
    random = np.random.default_rng(7)
    each = round(RATE_PER_S * every_s)
    for number in range(round(RUN_S / every_s) + 1):
        last = number == round(RUN_S / every_s)
        if not last:
            row["arrivals"] += each
            for name, us in (("lag_us", 400), ("connecting_us", 90), ("connect_us", 500)):
                add_values(row[0][name], random.uniform(us, 2 * us, each))
            for name, us in (("first_us", 700), ("first_service_us", 300), ("last_us", 700), ("last_service_us", 300)):
                add_values(row[0][name], random.uniform(us, 2 * us, each))
        total = row["arrivals"][0]
        row["started"] = row["opened"] = row["requests"] = row["answers"] = total
        row["open"] = 0 if last else 100
        row["closed"] = total - row["open"][0]
        row["phase"] = Phase.CLOSED if last else Phase.OPENING
        row["rss_bytes"], row["cpu_user_us"] = 30 * 2**20, 1000 * number
        yield replace(
            Sample.of(row, made.BEGAN_NS + round((number + 1) * every_s * 1e9)),
            start=order.start,
            seen=Seen(100, 800_000, {"ActiveOpens": int(total)}, 4 * number),
        )


def churn_record(order: ChurnOrder | None = None, **other: Any) -> ChurnRecord:
    order = order or churn_order()
    story = ChurnStory(order)
    for sample in churn_samples(order):
        story.add(sample)
    ending = ChurnEnding(
        elapsed_s=RUN_S,
        stopped_by=None,
        time_wait_left=64,
        listen_overflows=0,
        syn_retransmits=0,
        moved={"ActiveOpens": 4000},
        interrupted=False,
        workers_killed=0,
    )
    record = replace(story.conclude(ending), **other)
    return replace(record, outcome=other.get("outcome") or judge_churn(record, order.options.require))
