"""What `limits` says: of hosts as recorded, and of made-up sockets on them."""

from collections.abc import Sequence
from dataclasses import replace

from fourtuple.core.limits.facts import Memory
from fourtuple.core.limits.load import GIGABIT, Link, Load
from fourtuple.core.limits.remarks import remarks
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import TIME_WAIT_MS
from fourtuple.core.limits.verdicts import Limits, Queue
from fourtuple.core.limits.weigh import bound
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import Chosen, State
from fourtuple.core.space.endpoints import Resolved
from fourtuple.faces.text.limits import limits_lines
from tests.made import RESOLVED
from tests.screens.hosts import Question, connected, host


def answer(
    question: Question, *, because: Sequence[str] = (), full: Sequence[str] = (), probed: int | None = None
) -> Limits:
    """As verbs.limits puts it together."""
    world, ports, verdicts = question.world, question.ports, question.verdicts
    room, binding = bound(verdicts)
    reasons = (*(ports.because if ports else ()), *because)
    return Limits(
        role=question.role,
        strategy=question.strategy,
        pid=world.process.pid,
        process=world.process.name,
        netns=world.netns,
        kernel=world.kernel,
        room=room,
        binding=binding.limit if binding else None,
        exact=bool(binding and binding.exact and room and room.exact and not reasons),
        because=reasons,
        full=tuple(full),
        waiting=ports.waiting if ports else 0,
        unattributed_ports=ports.unattributed if ports else 0,
        probed=probed,
        sources=question.space.sources.size if ports else 0,
        destinations=question.space.destinations.size if ports else 0,
        pairs=ports.pairs if ports else 0,
        routes=ports.routes if ports else (),
        verdicts=verdicts,
        remarks=remarks(world, question.use),
        unknown=world.why_not,
        kept_ms=ports.kept_ms if ports else TIME_WAIT_MS,
    )


def unlimited(question: Question) -> Question:
    """Where open files do not stop it before the ports do."""
    process = replace(question.world.process, files_soft=1_000_000, files_hard=1_000_000)
    return replace(question, world=replace(question.world, process=process))


DEFAULT = Question(host())
PORTS = unlimited(DEFAULT)
WAITING = replace(PORTS, rows=connected(300, state=State.TIME_WAIT, expires_ms=30_000))
UNSURE = replace(PORTS, rows=connected(300, remote="192.0.2.10"))
NONE_LEFT = replace(
    PORTS,
    world=replace(PORTS.world, ports=replace(PORTS.world.ports, port_range=range(32_768, 33_068))),  # type: ignore[type-var]
    rows=connected(300, chosen=Chosen.LATE),
)
SEVERAL = replace(
    PORTS,
    sources=("192.0.2.4-5",),
    destinations=("192.0.2.9:80-81", "192.0.2.10:443"),
    rows=connected(40, chosen=Chosen.LATE),
)
SERVER = replace(DEFAULT, role=Role.SERVER, queue=Queue(2, 7, 8194, 4096), world=host("container"))
FULL = replace(SERVER, queue=Queue(1, 129, 129, 128))
ANYWHERE = replace(DEFAULT, anywhere=True)
UNKNOWN = replace(
    DEFAULT,
    world=replace(
        host(),
        process=replace(host().process, files_open=None, files_soft=None),
        memory=Memory(None),
        why_not={
            "open files": "/proc/4121/fd: Permission denied; root may read it",
            "RLIMIT_NOFILE": "/proc/4121/limits does not contain it",
        },
    ),
)
TUNED = Question(host("tuned-wrongly"))
GIVEN = Load.asked(0.1, 1000, 150.0)
BUSY = replace(PORTS, load=GIVEN, world=replace(PORTS.world, links=(Link("eth0", GIGABIT), Link("eth1", None))))

HERE = ("127.0.0.1",)


def _lines(limits: Limits, *, everything: bool = False, from_here: bool = False) -> str:
    return "\n".join(limits_lines(limits, everything=everything, from_here=from_here))


SCREENS = {
    "files": lambda: _lines(answer(DEFAULT)),
    "from-here": lambda: _lines(answer(DEFAULT), from_here=True),
    "files-all": lambda: _lines(answer(DEFAULT), everything=True),
    "ports": lambda: _lines(answer(PORTS)),
    "wildcard": lambda: _lines(replace(answer(PORTS), resolved=(Resolved("0.0.0.0", HERE, HERE),))),
    "name": lambda: _lines(replace(answer(PORTS), resolved=(RESOLVED,))),
    "name-first": lambda: _lines(replace(answer(PORTS), resolved=(replace(RESOLVED, used=RESOLVED.used[:1]),))),
    "ports-explicit": lambda: _lines(answer(replace(PORTS, strategy=Strategy.EXPLICIT))),
    "ports-bind0": lambda: _lines(answer(replace(PORTS, strategy=Strategy.BIND0))),
    "time-wait": lambda: _lines(answer(WAITING)),
    "not-exact": lambda: _lines(answer(UNSURE)),
    "not-listed": lambda: _lines(
        answer(
            PORTS,
            because=[
                "sockets that are bound but neither connected nor listening are missing: sock_diag lists them since"
                " Linux 6.8"
            ],
        )
    ),
    "probed": lambda: _lines(answer(PORTS, probed=300)),
    "no-port-left": lambda: _lines(answer(NONE_LEFT)),
    "several-all": lambda: _lines(answer(SEVERAL), everything=True),
    "anywhere": lambda: _lines(answer(ANYWHERE)),
    "server": lambda: _lines(answer(SERVER)),
    "server-all": lambda: _lines(answer(SERVER), everything=True),
    "server-busy": lambda: _lines(answer(replace(SERVER, load=GIVEN))),
    "busy-all": lambda: _lines(answer(BUSY), everything=True),
    "server-full": lambda: _lines(answer(FULL, full=["0.0.0.0:80"])),
    "unknown": lambda: _lines(answer(UNKNOWN)),
    "remarks": lambda: _lines(answer(TUNED)),
    "cgroup": lambda: _lines(answer(unlimited(Question(host("cgroup-v2"))))),
}
