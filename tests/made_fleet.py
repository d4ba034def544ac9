"""Made-up runs of a fleet for tests of the store and the screens: exact and repeatable."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.histogram import Latency
from fourtuple.core.runs.records import HoldRecord, MachineMoment, MachineResult, Sample, Standing, Witness
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.runs.together import gone as gone_sample
from fourtuple.core.runs.together import together
from fourtuple.store import reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests import made

SHARE = 250  # connections of each machine
WHY = "its worker left the scheduler"
GONE_S = 3.5


def fleet_start(machines: int = 4, *, share: int = SHARE, kind: str = "hold") -> Start:
    return replace(made.start(kind, wanted=machines * share), fleet="f1e2d3")


def fleet_samples(
    machines: int = 4, *, share: int = SHARE, gone: int | None = None, count: int = 40, every_s: float = 0.25
) -> Iterator[Sample]:
    """Machine k opens its share in 20 + k samples. gone: the number of a machine that dies after GONE_S"""
    began = fleet_start(machines, share=share)
    each = [
        made.samples(count, every_s=every_s, opening=20 + number, wanted=share) for number in range(1, machines + 1)
    ]
    last: Sample | None = None
    for now in zip(*each, strict=True):
        moments = []
        for number, sample in enumerate(now, 1):
            standing = Standing.ENDED if sample.phase is Phase.CLOSED else Standing.RUNNING
            of, silent_s, why = sample, 0.0, ""
            if number == gone:
                if (late_s := (sample.at_ns - made.BEGAN_NS) / 1e9 - GONE_S) <= 0:
                    last = sample
                elif last is not None:
                    of, standing, silent_s, why = gone_sample(last, untried=True), Standing.GONE, late_s, WHY
            census = replace(of.census, client=of.open) if of.census else None
            moments.append(MachineMoment(number, f"m{number}", standing, replace(of, census=census), silent_s, why))
        whole = together([moment.sample for moment in moments])
        yield replace(whole, start=began, machines=tuple(moments), at_ns=now[0].at_ns)


def machine_result(number: int = 1, **other: Any) -> MachineResult:
    share = other.get("wanted", SHARE)
    result = MachineResult(
        number=number,
        name=f"m{number}",
        host=f"host{number}",
        sources=(f"10.0.0.{number}",),
        wanted=share,
        held=share,
        lost=0,
        failed={},
        open_at_end=share,
        census=Witness(share, None, None, "sock_diag", share, share),
        at_servers=share,
        elapsed_s=5.0 + number / 4,
        rate_per_s=round(share / (5 + number / 4), 1),
        connect_us=Latency(22.3, 27.1, 29.5, 30.0),
        workers=2,
        rss_bytes=30 * 2**20,
        cpu_user_s=0.5,
        cpu_system_s=1.25,
        offset_us=1234.5 * number,
        error_us=40.0,
        run=number,
    )
    return replace(result, **other)


def gone_result(number: int = 3, **other: Any) -> MachineResult:
    """A machine that had opened 200 of its connections when it was gone."""
    lost = {"held": 0, "lost": 200, "failed": {"ECANCELED": 50}, "open_at_end": 0, "census": None, "at_servers": None}
    return machine_result(number, **{**lost, "gone_s": GONE_S, "why": WHY, "run": None, **other})


def fleet_record(*machines: MachineResult, **other: Any) -> HoldRecord:
    """The record of these machines, by default of four that held everything."""
    machines = machines or tuple(map(machine_result, range(1, 5)))
    held, lost = sum(each.held for each in machines), sum(each.lost for each in machines)
    failed = sum(sum(each.failed.values()) for each in machines)
    counted = Witness(held, held, held, "sock_diag", held, held)
    changed = {
        "wanted": sum(each.wanted for each in machines), "predicted": sum(each.wanted for each in machines),
        "predicted_least": sum(each.wanted for each in machines), "held": held, "lost": lost,
        "lost_while_opening": lost, "lost_by": {"ECANCELED": lost} if lost else {},
        "failed": {"ECANCELED": failed} if failed else {}, "open_at_end": held, "census": counted,
        "census_at_end": counted, "workers": sum(each.workers for each in machines), "machines": machines,
    }  # fmt: skip
    return made.hold_record(**{**changed, **other})


def kept_fleet(record: HoldRecord | None = None, machines: int = 4, **options: Any) -> StoredRun:
    """The run as the store has it; without a record it was killed."""
    with closing(open_store(None, new=True)) as base:
        share = options.get("share", SHARE)
        writer = Writer(base, f"fourtuple fleet hold {machines * share} 127.0.0.1:8000-8003 --for 5s --local 4", "me")
        writer.begin(fleet_start(machines, share=share))
        for sample in fleet_samples(machines, **options):
            writer.sample(sample)
        if record:
            outcome = RunState.REACHED if record.outcome.reached else RunState.SHORT
            writer.end(outcome, to_text(record), n=record.wanted, held=record.held)
        return reading.read_run(base, 1, lambda _: False)
