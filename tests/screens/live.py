"""The live view of a run, without its colours; and of a census that goes on."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import Sample, Seen, Standing, Witness
from fourtuple.core.talk.stages import parse_stages
from fourtuple.faces.terminal.screen import Screen
from fourtuple.faces.text.lines import COLUMNS
from tests.made import samples, start
from tests.made_churn import churn_order
from tests.made_fleet import fleet_samples

RUN = list(samples(every_s=0.25))
FLEET = list(fleet_samples(4))


def _picture(run: Sequence[Sample], columns: int = COLUMNS) -> str:
    """The screen of the last sample, drawn after the others."""
    screen = Screen()
    for sample in run[:-1]:
        screen.draw(sample)
    console = Console(width=columns, height=24, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(screen.draw(run[-1], columns=columns))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _troubled(columns: int = COLUMNS) -> str:
    failing = replace(
        RUN[25], failed={"EADDRNOTAVAIL": 37_072, "EMFILE": 2}, lost=10, lost_by={"ECONNRESET": 9, "FIN": 1},
        open=990, reconnected=4, requests=4000, answers=3990, answer_histogram=RUN[25].connect_histogram,
        census=Witness(1000, 999, 999, "sock_diag"),
    )  # fmt: skip
    return _picture([*RUN[:25], failing], columns)


def _stands_still() -> str:
    return _picture([replace(sample, open=0, opened=0) for sample in RUN[:2]])


def _served() -> str:
    full = replace(
        RUN[25], start=start("serve", wanted=None), wanted=0, lost=3, closed=2, lost_by={"FIN": 3}, greeted=1000,
        received_bytes=2048, sent_bytes=4096, capacity=1000, seen=Seen(None, None, {"ListenOverflows": 7}), census=None,
    )  # fmt: skip
    return _picture([full])


def _churned(columns: int = COLUMNS) -> str:
    sample = replace(
        RUN[25], start=churn_order().start, arrivals=8000, started=7900, late=120, closed=7500, open=400,
        failed={"ECONNREFUSED": 7}, last_histogram=RUN[25].connect_histogram, census=None,
        seen=Seen(None, None, {}, 321),
    )  # fmt: skip
    return _picture([*(replace(each, start=sample.start) for each in RUN[:25]), sample], columns)


def _many() -> str:
    began = start(wanted=100_000)
    assert began.planned is not None
    planned = replace(began.planned, pairs=640, usable=500)
    many = replace(
        RUN[25], start=replace(began, planned=planned), wanted=100_000, open=100_000, workers=4,
        seen=Seen(100_000, 800_000_000, {}),
    )  # fmt: skip
    return _picture([many])


def _over_unix() -> str:
    began = start()
    assert began.planned is not None
    planned = replace(began.planned, destinations=("unix:/run/x.sock",), sources=(), strategy="unix", pairs=1, usable=0)
    run = [replace(sample, start=replace(began, planned=planned)) for sample in RUN[:31]]
    troubled = replace(
        run[-1], failed={"EAGAIN": 40}, open=960, opened=960, seen=Seen(960, 4_800_000, {}),
        census=Witness(960, 960, 960, "unix_diag", 960, 960),
    )  # fmt: skip
    return _picture([*run[:-1], troubled])


def _fleet_troubled() -> str:
    """40 machines, of which one is gone, one silent, and one without ports."""
    run = list(fleet_samples(40, gone=30))[:20]
    machines = list(run[-1].machines)
    machines[20] = replace(machines[20], standing=Standing.SILENT, silent_s=12.3)
    machines[36] = replace(machines[36], sample=replace(machines[36].sample, failed={"EADDRNOTAVAIL": 12}))
    return _picture([*run[:-1], replace(run[-1], machines=tuple(machines))])


def _along_stages() -> str:
    began = start()
    assert began.planned is not None
    planned = replace(began.planned, stages=parse_stages("500@10s, 1k@60s, 1k@5m, 0@20s"), churn_per_s=100.0, run_s=390)
    run = [replace(sample, start=replace(began, planned=planned), stage=3, target=640) for sample in RUN[:31]]
    return _picture([*run[:-1], replace(run[-1], open=642, closed=358, replaced=590)])


SCREENS = {
    "hold-opening": lambda: _picture(RUN[:10]),
    "hold-holding": lambda: _picture(RUN[:31]),
    "hold-closing": lambda: _picture([*RUN[:31], replace(RUN[31], phase=Phase.CLOSING, open=400)]),
    "hold-opening-40": lambda: _picture(RUN[:10], 40),
    "hold-opening-200": lambda: _picture(RUN[:10], 200),
    "hold-troubled-60": lambda: _troubled(60),
    "churn-40": lambda: _churned(40),
    "hold-fleet-40": lambda: _picture(FLEET[:14], 40),
    "hold-troubled": _troubled,
    "hold-stands-still": _stands_still,
    "hold-many": _many,
    "hold-unix": _over_unix,
    "hold-stages": _along_stages,
    "hold-fleet": lambda: _picture(FLEET[:14]),
    "hold-fleet-troubled": _fleet_troubled,
    "churn": _churned,
    "serve": _served,
}
