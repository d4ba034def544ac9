"""Screens of `churn`: the plan, the progress, the result, and the search for the highest rate."""

from dataclasses import replace
from typing import Any

from fourtuple.core.runs.churn_judge import judge_max
from fourtuple.core.runs.churn_orders import ClosedBy, PortRate
from fourtuple.core.runs.churn_record import ChurnRecord, ChurnStep
from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.histogram import NOT_MEASURED, Latency
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.slices import Plan
from fourtuple.faces.text import churn
from fourtuple.faces.text.lines import wrapped
from tests.made import RESOLVED
from tests.made_churn import churn_options, churn_order, churn_record, churn_samples
from tests.made_fleet import machine_result

TROUBLED = churn_record(
    started=3900,
    not_started=100,
    late=700,
    completed=3650,
    failed={"EADDRNOTAVAIL": 120, "ECONNREFUSED": 30},
    lost=60,
    lost_by={"FIN": 40, "ETIMEDOUT": 20},
    open_at_end=40,
    unexpected=3,
    unanswered=5,
    requests=3700,
    answers=3692,
    first_us=Latency(900.0, 1200.0, 2000.0, 9000.0),
    last_words="-ERR max number of clients reached",
    listen_overflows=9,
    syn_retransmits=7,
    ports_per_s=470.5,
    most_open=2164,
    workers=2,
    workers_killed=1,
    interrupted=True,
    resolved=(RESOLVED,),
    reasons={"tls: certificate has expired": 4},
    tls_us=Latency(900.0, 1200.0, 2000.0, 9000.0),
    destinations=(
        DestinationResult("127.0.0.1:8002", "", 1, 1270, {"EADDRNOTAVAIL": 120}, {"ETIMEDOUT": 20}),
        DestinationResult("127.0.0.1:8001", "", 1, 1240, {"ECONNREFUSED": 30}, {"FIN": 40}),
        DestinationResult("127.0.0.1:8000", "", 1, 1240, {}, {}),
    ),
)
NO_ANSWERS: dict[str, Any] = dict.fromkeys(("first_us", "first_service_us", "last_us", "last_service_us"), NOT_MEASURED)
SILENT = churn_record(
    requests=0,
    answers=0,
    most_time_wait=None,
    closed_by="server",
    **NO_ANSWERS,
)
STEP = ChurnStep(500.0, 499.5, True, 1500, 0, 0, Latency(700.0, 1100.0, 1400.0, 1500.0))
TOO_FAST = replace(
    STEP,
    planned_per_s=2000.0,
    kept=False,
    because=("rate", "unexpected", "session"),
    trouble="The rate was not kept: 60 were started more than 100 ms late. 3 answers were not as expected.",
)
TOO_SLOW = replace(
    TOO_FAST,
    because=("rate",),
    trouble="The rate was not kept: 60 were started more than 100 ms late; slots were free.",
    late_here=True,
)
STEPS = (STEP, replace(STEP, planned_per_s=1000.0, rate_per_s=1000.0), TOO_FAST)
FOUND = replace(churn_record(), steps=STEPS, outcome=judge_max(churn_record(steps=STEPS)))
SLOW_STEPS = (*STEPS[:2], TOO_SLOW, TOO_SLOW)
SLOW = replace(churn_record(), steps=SLOW_STEPS, outcome=judge_max(churn_record(steps=SLOW_STEPS)))
KEPT_OPEN = churn_record(
    completed=3600, lost=400, lost_by={"ETIMEDOUT": 400}, closed_by="server", requests=4000, answers=4000
)
NONE_KEPT = replace(TROUBLED, steps=STEPS[2:], outcome=judge_max(replace(TROUBLED, steps=STEPS[2:])))


def _end(record: ChurnRecord) -> str:
    return "\n".join(churn.churn_lines(record))


def _plans() -> str:
    fin = churn_order(options=churn_options(closed_by=ClosedBy.FIN), ports=PortRate(60.0, 33.3, 2000))
    long = churn_order(options=churn_options(closed_by=ClosedBy.SERVER, run_s=0.05))
    unix = churn_order(plan=Plan.of_sockets(264, ("/run/x.sock",), 1, OpeningPace()))
    return "\n".join(
        line for order in (churn_order(), fin, long, unix) for line in wrapped("", churn.plan_words(order))
    )


def _on_the_way() -> str:
    run = list(churn_samples())
    failing = replace(run[8], started=2200, late=90, failed={"ECONNREFUSED": 7}, lost=2, lost_by={"FIN": 2})
    return "\n".join(churn.churn_progress(sample) for sample in (run[4], failing, run[-1]))


OVER_UNIX = churn_record(
    strategy="unix", closed_by="fin", most_time_wait=None, failed={"EAGAIN": 7}, targets=("unix:/run/x.sock",)
)

SCREENS = {
    "fleet": lambda: _end(churn_record(machines=tuple(map(machine_result, range(1, 5))))),
    "clean": lambda: _end(churn_record()),
    "troubled": lambda: _end(TROUBLED),
    "silent": lambda: _end(SILENT),
    "unix": lambda: _end(OVER_UNIX),
    "found": lambda: _end(FOUND),
    "found-slow": lambda: _end(SLOW),
    "kept-open": lambda: _end(KEPT_OPEN),
    "none-kept": lambda: _end(NONE_KEPT),
    "required": lambda: _end(churn_record(churn_order(options=churn_options(require=("p99<50ms, late=0",))))),
    "plans": _plans,
    "lines": _on_the_way,
}
