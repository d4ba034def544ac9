"""Screens of `serve`: the result and progress lines."""

from dataclasses import replace

from fourtuple.core.runs.records import ServeRecord
from fourtuple.faces.text import lab, serve
from tests.made import samples, serve_record
from tests.made_fleet import gone_result, machine_result

TROUBLED = serve_record(
    greeted=1000,
    failed={"EMFILE": 3},
    listen_overflows=12,
    lost_by={"ECONNRESET": 900, "ECANCELED": 100},
    workers=4,
    workers_killed=2,
    closed=5,
)
QUIET = serve_record(received_bytes=0, sent_bytes=0)


def _end(record: ServeRecord) -> str:
    return "\n".join(serve.serve_lines(record))


def _lines() -> str:
    sample = list(samples())[25]
    full = replace(sample, open=1000, capacity=1000)
    return "\n".join([serve.serve_progress(replace(sample, capacity=0)), serve.serve_progress(full)])


SCREENS = {
    "clean": lambda: _end(serve_record()),
    "quiet": lambda: _end(QUIET),
    "troubled": lambda: _end(TROUBLED),
    "fleet": lambda: _end(serve_record(machines=(*map(machine_result, range(1, 4)), gone_result(4)))),
    "lines": _lines,
    "lab": lambda: "\n".join(
        (
            *lab.lab_lines(range(1024, 65536), 1_048_576, ()),
            *lab.lab_lines(range(40_000, 40_100), None, ("10.77.0.1", "10.77.0.2")),
        )
    ),
}
