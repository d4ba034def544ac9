"""Screens of `hold`: the result, progress lines and events."""

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import Latency
from fourtuple.core.runs.records import Event, HoldRecord, Loss, Witness
from fourtuple.core.space.endpoints import Endpoint, FourTuple
from fourtuple.faces.text import hold, words
from fourtuple.verbs.background import READY
from tests.made import hold_record, samples

NOTHING = hold_record(
    held=0,
    failed={"ECONNREFUSED": 1000},
    agree=True,
    elapsed_s=0.0,
    rate_per_s=0.0,
    census=Witness(0, 0, 0, "sock_diag"),
    open_at_end=0,
    held_s=0.0,
    sharing=None,
    memory=None,
    syn_retransmits=None,
)
LOST = hold_record(
    lost=110,
    lost_by={"ECONNRESET": 100, "FIN": 10},
    losses=(*(Loss(second, "ECONNRESET", 12) for second in range(8)), Loss(9, "FIN", 10)),
    reconnected=40,
    reconnect_failed={"ECONNREFUSED": 7, "ETIMEDOUT": 2},
    left=3,
    listen_overflows=5,
    time_wait_left=1000,
    workers=4,
    workers_killed=1,
)
FAILED = hold_record(
    held=900,
    failed={"EADDRNOTAVAIL": 60, "ETIMEDOUT": 30, "EMFILE": 10},
    agree=False,
    predicted=1000,
    census=Witness(900, 900, 900, "sock_diag"),
)
TALKED = hold_record(
    requests=4000,
    answers=3990,
    answers_per_s=798.0,
    answer_us=Latency(640.0, 3100.0, 1_890_000.0, 3_020_000.0),
    service_us=Latency(610.0, 2900.0, 8100.0, 3_010_000.0),
    unexpected=2,
    unanswered=10,
    late=80,
    unsent=4,
    received_bytes=51_870,
)
DISAGREED = hold_record(agree=False, census=Witness(1000, 990, 900, "sock_diag"))
AWAY = hold_record(census=Witness(1000, None, None, "/proc/net/tcp"), interrupted=True, held_s=2.25)
STOPPED = hold_record(
    held=400, interrupted=True, held_s=0.0, agree=False, predicted=1000, census=Witness(400, 400, 400, "sock_diag"),
    stopped_by="memory: 1 GiB stay free on this host, as one tenth of it always does",
)  # fmt: skip


def _end(record: HoldRecord) -> str:
    return "\n".join(hold.hold_lines(record))


def _on_the_way() -> str:
    """The progress lines that a pipe gets, and the line that announces that all connections are open."""
    run = list(samples())
    lines = [hold.hold_progress(run[number]) for number in (4, 25)]
    holding = next(sample for sample in run if sample.phase is Phase.HOLDING)
    return "\n".join([*lines, hold.hold_ready(holding, READY["hold"])])


def _events() -> str:
    ends = FourTuple(Endpoint.parse("127.0.0.1:40000"), Endpoint.parse("127.0.0.1:8000"))
    events = [Event("connected", ends), Event("received", ends, "b'hello'"), Event("lost", ends, "ECONNRESET")]
    return "\n".join(map(words.event_line, events))


SCREENS = {
    "clean": lambda: _end(hold_record()),
    "nothing": lambda: _end(NOTHING),
    "lost": lambda: _end(LOST),
    "failed": lambda: _end(FAILED),
    "answers": lambda: _end(TALKED),
    "disagreed": lambda: _end(DISAGREED),
    "away": lambda: _end(AWAY),
    "stopped": lambda: _end(STOPPED),
    "lines": _on_the_way,
    "events": _events,
}
