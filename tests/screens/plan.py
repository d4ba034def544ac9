"""What `plan` says, and what it says of settings that it has changed or brought back."""

from dataclasses import replace
from typing import Any

from fourtuple.core.errors import ShortfallError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.weigh import bound
from fourtuple.core.plan import fit
from fourtuple.core.plan.claims import Claim, Reservation, quietest
from fourtuple.core.plan.fit import WIDEST, Change, Fit, Means, Says
from fourtuple.core.plan.nat import nat_budget
from fourtuple.core.plan.servers import LocalServer, server_checks, server_ways
from fourtuple.core.plan.traffic import traffic
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.faces.text.lines import error_lines
from fourtuple.faces.text.plan import applied_lines, plan_lines, undone_lines
from tests.made import RESOLVED
from tests.screens.hosts import Question
from tests.screens.limits import BUSY, PORTS, UNSURE

UNCOUNTED = {
    "RLIMIT_NOFILE": "hold's sockets are in io_uring",
    "fs.epoll.max_user_watches": "hold's sockets are in io_uring",
}
CLAIMS = (
    Claim(7000, 7000, "TCP listener"),
    Claim(8080, 8089, "nginx (/etc/nginx/sites-enabled/shop)"),
    Claim(30000, 32767, "Kubernetes NodePorts"),
)
HERE = replace(PORTS, sources=("127.0.0.1",), destinations=("127.0.0.1:8000-8001",), here=True)


def _ground(question: Question) -> Means:
    """As verbs.planning finds it, with no address to spare."""
    facts = question.world.ports
    assert facts is not None
    fresh = replace(question, rows=())
    wide = Reservation.of(facts, WIDEST, CLAIMS).widened(facts)
    own = quietest(WIDEST, Reservation.of(facts, WIDEST, CLAIMS).reserved(facts))
    explicit = replace(fresh.use, space=replace(question.space, ports=Ranges([own])))
    each = fresh.room()
    pools = question.space.sources.size if question.strategy is Strategy.BIND0 else each.pairs
    return Means(
        space=question.space,
        strategy=question.strategy,
        facts=facts,
        ports=question.room(),
        fresh=each.room.least // pools,
        hoped=each.room.most // pools,
        because="; ".join(each.because),
        wide=fresh.use.room(wide, Strategy.LATE).room.least // each.pairs,
        explicit=explicit.room(facts, Strategy.EXPLICIT).room.least // each.pairs,
        own=own,
        reservation=Reservation.of(facts, WIDEST, CLAIMS),
        spare=(),
        here=question.here,
        connected=len(question.rows),
        noport=question.room(Strategy.NOPORT).room.least,
        named=question.destinations[0].rpartition(":")[0],
    )


def answer(question: Question, wanted: int, *, rate_per_s: float | None = None, **other: Any) -> Fit:
    """As verbs.plan puts it together. other: churn_per_s, machines, nat, nat_addresses, absent, …"""
    machines = other.get("machines")
    each, means = -(-wanted // (machines or 1)), _ground(question)
    checks = (*other.get("unknown", ()), *fit.checks(question.verdicts, each, uncounted=UNCOUNTED))
    _, binding = bound([verdict for verdict in question.verdicts if verdict.limit not in UNCOUNTED])
    rooms = [check.room for check in checks if check.room is not None]
    others = [c.room.least for c in checks if c.room is not None and c.limit not in (*fit.PORT_LIMITS, "4-tuple")]
    rate = rate_per_s or fit.RATE_PER_S
    client_bytes, server_bytes, user_bytes = fit.memory(each)
    ways = tuple(fit.ways(checks, means, question.world, each))
    churn, nat = other.get("churn_per_s"), other.get("nat")
    return Fit(
        wanted=wanted,
        says=min((check.says for check in checks), key=fit.WORST_FIRST.index),
        strategy=question.strategy,
        sources=question.space.sources.size,
        first_source=str(question.space.address(question.space.sources[0])),
        ports=means.ports.ceiling // means.ports.pairs,
        destinations=question.space.destinations.size,
        first_destination=fit.endpoint(question.space),
        ceiling=means.ports.ceiling,
        room=Interval.tightest(rooms),
        binding=binding.limit if binding else None,
        can_probe=True,
        because=means.ports.because,
        absent=tuple(other.get("absent", ())),
        checks=checks,
        ways=ways,
        here=question.here,
        client_bytes=client_bytes,
        server_bytes=server_bytes,
        user_bytes=user_bytes,
        rate_per_s=rate,
        rate_because="as requested" if rate_per_s else "as measured on loopback with two CPUs, both ends there",
        elapsed_s=each / rate,
        traffic=traffic(each, question.case),
        churn=fit.churn(churn, means.ports, means.facts, each, loopback=question.here) if churn else None,
        machine=fit.machine(machines, wanted, means, min(others), rate) if machines else None,
        reservation=means.reservation if any(change.name == RANGE.name for w in ways for change in w.changes) else None,
        assumed=tuple(other.get("assumed", ())),
        nat=nat_budget(
            nat,
            other.get("nat_addresses", 1),
            wanted,
            question.space.destinations.size,
            machines or 1,
            churn_per_s=churn or 0.0,
        )
        if nat
        else None,
    )


def _lines(question: Question, wanted: int, **other: Any) -> str:
    return "\n".join(plan_lines(answer(question, wanted, **other)))


def _name() -> str:
    return "\n".join(plan_lines(replace(answer(PORTS, 1000), resolved=(RESOLVED,))))


def _refused() -> str:
    """The error of `hold` for more than there can be."""
    found = answer(PORTS, 100_000)
    first = next(check for check in found.checks if check.says is Says.BLOCKS)
    ways = list(fit.ways([first], _ground(PORTS), PORTS.world, 100_000))
    command = "fourtuple plan 100000 192.0.2.9:80"
    room = first.room.most if first.room else 0
    error = ShortfallError(*fit.too_many(100_000, room, first, command, _ground(PORTS), more=ways))
    return "\n".join(error_lines(error))


def _server() -> str:
    """A server on this host: its queue is full, and its files do not suffice; some 4-tuples are in TIME_WAIT."""
    process = replace(HERE.world.process, files_soft=1024, files_hard=4096, files_open=1000)
    server = LocalServer(812, "nginx", 1.0, replace(HERE.world, process=process))
    full = ("127.0.0.1:8000 (129 of 129)",)
    found = answer(HERE, 1000, unknown=tuple(server_checks([server], full, 1000)))
    ways = (*found.ways, *server_ways([server], found.checks, 1000))
    return "\n".join(plan_lines(replace(found, ways=ways, full=full, waiting=300)))


UNKNOWN = (
    fit.Check(
        "memory.max",
        "memory of the cgroup",
        None,
        Says.UNKNOWN,
        "the limit in /x cannot be read (--assume memory.max=…)",
    ),
)
RANGE = Change("net.ipv4.ip_local_port_range", "32768 60999", "1024 65535")
CONNTRACK = Change("net.netfilter.nf_conntrack_max", "65536", "220000")
RESERVED = Change("net.ipv4.ip_local_reserved_ports", "", "7000,8080-8089,30000-32767")
FREED = Change(RESERVED.name, RESERVED.after, RESERVED.before)
BACK = Change(RANGE.name, RANGE.after, RANGE.before)


def _settings() -> str:
    shown = (
        applied_lines([RESERVED, RANGE], [(CONNTRACK, "Permission denied")]),
        applied_lines([], []),
        undone_lines([BACK, FREED], [(CONNTRACK, "it is 300000 now")], 0),
        undone_lines([], [], 0),
        undone_lines([], [], 2),
    )
    return "\n\n".join("\n".join(lines) for lines in shown)


SCREENS = {
    "fits": lambda: _lines(PORTS, 1000),
    "name": _name,
    "fits-here": lambda: _lines(HERE, 50_000, rate_per_s=2000.0),
    "does-not-fit": lambda: _lines(PORTS, 100_000),
    "does-not-fit-here": lambda: _lines(HERE, 100_000),
    "server-here": _server,
    "bind0": lambda: _lines(replace(HERE, strategy=Strategy.BIND0), 30_000),
    "perhaps": lambda: _lines(UNSURE, 27_950),
    "several-block": lambda: _lines(PORTS, 1_000_000_000),
    "absent-source": lambda: _lines(replace(PORTS, sources=("192.0.2.4-5",)), 40_000, absent=["192.0.2.5"]),
    "traffic": lambda: _lines(replace(BUSY, destinations=("192.0.2.9:80-99",)), 100_000),
    "churn": lambda: _lines(PORTS, 1000, churn_per_s=1000.0),
    "churn-fits": lambda: _lines(PORTS, 1000, churn_per_s=100.0),
    "machines": lambda: _lines(PORTS, 100_000, machines=5),
    "nat": lambda: _lines(PORTS, 20_000, nat="aws"),
    "nat-too-few": lambda: _lines(PORTS, 200_000, machines=10, nat="azure", nat_addresses=2),
    "nat-churn": lambda: _lines(PORTS, 20, nat="gcp", churn_per_s=400.0),
    "nat-unknown": lambda: _lines(PORTS, 20, nat="aws", churn_per_s=400.0),
    "nat-instance": lambda: _lines(PORTS, 20, nat="aws-instance"),
    "nat-app-service": lambda: _lines(PORTS, 1000, machines=5, nat="azure-app-service"),
    "nat-pool": lambda: _lines(PORTS, 100_000, machines=120, nat="azure-load-balancer"),
    "nat-independent": lambda: _lines(replace(PORTS, destinations=("192.0.2.9:80-89",)), 2000, nat="gcp-independent"),
    "unknown": lambda: _lines(PORTS, 1000, unknown=UNKNOWN),
    "assumed": lambda: _lines(PORTS, 1000, assumed=["fs.nr_open = 1000000", "net.ipv4.ip_local_reserved_ports = none"]),
    "nat-slices": lambda: _lines(PORTS, 200_000, machines=10, nat="gcp", nat_addresses=4),
    "refused": _refused,
    "settings": _settings,
}
