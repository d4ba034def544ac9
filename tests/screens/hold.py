"""Screens of `hold`: the result, progress lines and events."""

from dataclasses import replace

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.histogram import NOT_MEASURED, Latency
from fourtuple.core.runs.judge import judge_hold
from fourtuple.core.runs.records import AcceptQueue, Event, HoldRecord, Loss, StageResult, Witness
from fourtuple.core.space.endpoints import Endpoint, FourTuple
from fourtuple.core.talk.stages import parse_stages
from fourtuple.faces.text import hold, words
from fourtuple.faces.text.stages import plan_lines
from fourtuple.verbs.background import READY
from tests.made import RESOLVED, hold_record, samples, start
from tests.made_fleet import fleet_record, gone_result, machine_result

NOTHING = hold_record(
    held=0,
    failed={"ECONNREFUSED": 1000},
    destinations=(DestinationResult("127.0.0.1:8000", "", 1, 0, {"ECONNREFUSED": 1000}, {}),),
    elapsed_s=0.0,
    rate_per_s=0.0,
    census=Witness(0, 0, 0, "sock_diag"),
    census_at_end=None,
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
    open_at_end=930,
    census_at_end=Witness(930, 930, 930, "sock_diag", 930, 930),
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
    open_at_end=900,
    census=Witness(900, 900, 900, "sock_diag"),
    census_at_end=Witness(900, 900, 900, "sock_diag"),
    destinations=(
        DestinationResult("192.0.2.10:8000", RESOLVED.host, 1, 0, {"ETIMEDOUT": 22}, {}),
        DestinationResult("192.0.2.9:8003", RESOLVED.host, 1, 391, {"ETIMEDOUT": 8}, {"FIN": 3, "ECONNRESET": 1}),
        DestinationResult("", "", 30, 509, {}, {}),
    ),
)
ALL_OVER = hold_record(
    held=960,
    failed={"ECONNREFUSED": 40},
    open_at_end=960,
    census=Witness(960, 960, 960, "sock_diag"),
    census_at_end=Witness(960, 960, 960, "sock_diag"),
    destinations=(
        *(
            DestinationResult(f"[2001:db8:1:2:3:4:5:6]:{port}", "", 3, 0, {"ECONNREFUSED": 1}, {})
            for port in range(20000, 20096, 3)
        ),
        DestinationResult("", "", 2904, 960, {"ECONNREFUSED": 8}, {}),
    ),
)
TALKED = hold_record(
    requests=4000,
    answers=3990,
    answers_per_s=798.0,
    answer_us=Latency(640.0, 3100.0, 1_890_000.0, 3_020_000.0),
    service_us=Latency(610.0, 2900.0, 8100.0, 3_010_000.0),
    unexpected=2,
    reasons={'text: an answer is not "+PONG": "-LOADING Redis is loading the dataset in …': 2},
    unanswered=10,
    late=80,
    unsent=4,
    received_bytes=51_870,
)
DISAGREED = hold_record(census=Witness(990, 990, 990, "sock_diag", 1000, 1000))
QUEUED = hold_record(
    census_at_end=Witness(
        1000, 990, 900, "sock_diag", 1000, 1000, (AcceptQueue("127.0.0.1:8000", 90, 89, 812, "haproxy"),)
    )
)
CLOSED = hold_record(
    held=600,
    lost=400,
    lost_while_opening=400,
    lost_by={"FIN": 400},
    losses=(Loss(1, "FIN", 400),),
    open_at_end=600,
    last_words="-ERR max number of clients reached",
    census=Witness(600, 600, 600, "sock_diag"),
    census_at_end=Witness(
        600, 600, 600, "sock_diag", 600, 600, (AcceptQueue("127.0.0.1:8000", 0, 511, 812, "redis-server"),)
    ),
)
IDLE = hold_record(
    lost=1000,
    lost_by={"FIN": 990, "ECONNRESET": 10},
    losses=(Loss(5, "FIN", 1000),),
    lost_between_s=(4.91, 5.02),
    open_at_end=0,
    census=Witness(1000, 1000, 1000, "sock_diag", 1000, 1000, (AcceptQueue("127.0.0.1:8000", 0, 511, 812, "nginx"),)),
    census_at_end=None,
)
REQUIRED = replace(LOST, outcome=judge_hold(LOST, ["lost<=20%, rate>=100/s"]))
NOT_MET = replace(LOST, outcome=judge_hold(LOST, ["lost<=1%, p99<50us", "accepted=all, left=0"]))
AWAY = hold_record(census=Witness(1000, None, None, "/proc/net/tcp"), interrupted=True, held_s=2.25)
STOPPED = hold_record(
    held=400, failed={"ECANCELED": 600}, interrupted=True, held_s=0.0, open_at_end=400,
    census=Witness(400, 400, 400, "sock_diag"), census_at_end=Witness(400, 400, 400, "sock_diag"),
    stopped_by="memory: 1 GiB stay free on this host, as one tenth of it always does",
)  # fmt: skip

_FULL = (AcceptQueue("unix:/run/x.sock", 129, 128, 812, "gunicorn"),)
UNIX = hold_record(
    strategy="unix",
    targets=("unix:/run/x.sock",),
    held=960,
    failed={"EAGAIN": 25, "ENOENT": 5, "ECONNREFUSED": 4, "EACCES": 3, "EPROTOTYPE": 2, "EMFILE": 1},
    open_at_end=960,
    handshake_us=NOT_MEASURED,
    sharing=None,
    syn_retransmits=None,
    listen_overflows=None,
    moved={},
    census=Witness(960, 960, 831, "unix_diag", 960, 960, _FULL),
    census_at_end=Witness(960, 960, 831, "unix_diag", 960, 960, _FULL),
)

STAGES = (
    StageResult(500, 10.0, 500, 9.912, 0, 0, True),
    StageResult(1000, 60.0, 1000, 69.95, 0, 0, True),
    StageResult(1000, 300.0, 1000, None, 0, 0, True),
    StageResult(0, 20.0, 0, 389.91, 0, 0, True),
)
AT_END = Witness(0, 0, 0, "sock_diag", 0, 0)
STAGED = hold_record(stages=STAGES, open_at_end=0, census_at_end=AT_END)
SHORT_STAGES = hold_record(
    stages=(
        STAGES[0],
        replace(STAGES[1], open_at_end=930, reached_s=None, failed=60, lost=10, reached=False),
        replace(STAGES[2], open_at_end=None, reached=False),
        replace(STAGES[3], open_at_end=None, reached_s=None, reached=False),
    ),
    held=930, failed={"ETIMEDOUT": 60}, lost=10, lost_by={"FIN": 10}, lost_while_opening=10, interrupted=True,
    open_at_end=930, census=Witness(930, 930, 930, "sock_diag"), census_at_end=Witness(930, 930, 930, "sock_diag"),
)  # fmt: skip
REPLACED = hold_record(churn_per_s=100.0, replaced=498, replaced_per_s=99.6, time_wait_left=1498)
REPLACED_LESS = hold_record(
    churn_per_s=100.0, replaced=240, replaced_per_s=48.0, reconnect_failed={"EADDRNOTAVAIL": 130}, open_at_end=980,
    census_at_end=Witness(980, 980, 980, "sock_diag"),
)  # fmt: skip
FLEET_GONE = fleet_record(machine_result(1), machine_result(2, at_servers=249), gone_result(3), machine_result(4))
MANY = (
    *(machine_result(k, name=f"tcp://10.0.0.{k}:40123", at_servers=None, census=None) for k in range(1, 200)),
    gone_result(200, name="tcp://10.0.0.200:40123"),
)


def _end(record: HoldRecord) -> str:
    return "\n".join(hold.hold_lines(record))


def _on_the_way() -> str:
    """The progress lines that a pipe gets, and the line that announces that all connections are open."""
    run = list(samples())
    lines = [hold.hold_progress(run[number]) for number in (4, 25)]
    holding = next(sample for sample in run if sample.phase is Phase.HOLDING)
    return "\n".join([*lines, hold.hold_ready(holding, READY["hold"])])


def _on_the_way_along_stages() -> str:
    """What ports allow, before; the progress lines; and the line that announces that all are open."""
    began = start()
    assert began.planned is not None
    because = "ports allow 1,880/s, as each stays in TIME_WAIT for 60 s"
    stages = parse_stages("500@10s, 1k@60s, 1k@5m, 0@20s")
    planned = replace(began.planned, stages=stages, churn_per_s=100.0, churn_most_per_s=1880.0, churn_because=because)
    along = replace(next(samples()), start=replace(began, planned=planned), stage=1, target=750, open=748, replaced=99)
    lines = [*plan_lines(planned), hold.hold_progress(along)]
    return "\n".join([*lines, hold.hold_ready(replace(along, stage_open=(500, 1000), census=AT_END), READY["hold"])])


def _events() -> str:
    ends = FourTuple(Endpoint.parse("127.0.0.1:40000"), Endpoint.parse("127.0.0.1:8000"))
    events = [Event("connected", ends), Event("received", ends, "b'hello'"), Event("lost", ends, "ECONNRESET")]
    return "\n".join(map(words.event_line, events))


SCREENS = {
    "clean": lambda: _end(hold_record()),
    "nothing": lambda: _end(NOTHING),
    "lost": lambda: _end(LOST),
    "failed": lambda: _end(FAILED),
    "all-over": lambda: _end(ALL_OVER),
    "answers": lambda: _end(TALKED),
    "none-due": lambda: _end(hold_record(every_s=30.0)),
    "disagreed": lambda: _end(DISAGREED),
    "away": lambda: _end(AWAY),
    "stopped": lambda: _end(STOPPED),
    "queued": lambda: _end(QUEUED),
    "closed": lambda: _end(CLOSED),
    "idle": lambda: _end(IDLE),
    "required": lambda: _end(REQUIRED),
    "not-met": lambda: _end(NOT_MET),
    "name": lambda: _end(hold_record(resolved=(RESOLVED,))),
    "lines": _on_the_way,
    "stages": lambda: _end(STAGED),
    "short-stages": lambda: _end(SHORT_STAGES),
    "stages-lines": _on_the_way_along_stages,
    "unix": lambda: _end(UNIX),
    "replaced": lambda: _end(REPLACED),
    "replaced-less": lambda: _end(REPLACED_LESS),
    "events": _events,
    "fleet": lambda: _end(fleet_record()),
    "fleet-gone": lambda: _end(FLEET_GONE),
    "fleet-many": lambda: _end(fleet_record(*MANY)),
}
