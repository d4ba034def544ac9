"""What `fleet hosts`, `fleet limits` and `fleet plan` say: of a few machines, of many, and of what is short."""

from collections.abc import Iterable

from fourtuple.core.fleet.answers import FleetHosts, UnusedMember, hosts_of, limits_of, plan_of
from fourtuple.core.fleet.member import LimitRoom, Member, ServerEnd
from fourtuple.core.fleet.share import MachineOffer
from fourtuple.faces.text import fleet as face
from tests.core.fleet.made import bound, machine, member, server

DESTINATION = ["10.0.9.9:80"]
WAY = "1 more source address: ip address add ADDRESS/32 dev DEVICE; ip address del undoes it"


def _rooms(ports: int, memory: int) -> tuple[LimitRoom, ...]:
    found = (
        bound("net.ipv4.ip_local_port_range", ports, title="source ports"),
        bound("memory", memory, title="memory of the host"),
        bound("fs.file-max", 997_728, 997_856, title="open files of the host"),
        bound("net.netfilter.nf_conntrack_max", None, title="connection tracking"),
    )
    return tuple(sorted(found, key=lambda each: each.room.least if each.room else 10**9))


FEW = [
    machine("m1", 4, 28_232, bounds=_rooms(28_232, 1_200_000), sources=("10.0.0.1",), ways=(WAY,)),
    machine("m2", 8, 28_232, bounds=_rooms(28_232, 1_200_000), sources=("10.0.0.2",), ways=(WAY,)),
    machine("tcp://192.0.2.13:45678", 8, 20_000, bounds=_rooms(225_856, 20_000), sources=("10.0.1.1-8",)),
]
MANY = [
    machine(f"node-{n:03}", 4 + n % 3 * 2, 28_000 + n, sources=(f"10.0.{n}.1",), ways=(f"way {n}",)) for n in range(200)
]
WORKERS = [machine(name, boot="b", sources=("127.0.0.1",), owns=("127.0.0.1",)) for name in ("a", "b")]
PERHAPS = [machine("m1", room=28_231, most=28_232), machine("m2", room=28_232)]


def server_of(files: int, share: float = 1.0) -> MachineOffer:
    bounds = (bound("RLIMIT_NOFILE", files, title="open files of the process"),)
    return server("s1", servers=(ServerEnd(812, "nginx", ("10.0.9.9:80",), bounds, share),))


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _plan(wanted: int, machines: list[MachineOffer], rate_per_s: float | None = None) -> str:
    return _text(face.plan_lines(plan_of(wanted, DESTINATION, machines, rate_per_s)))


HOSTS = [
    member("m1", addresses=("10.0.0.1", "fd00::1")),
    member("m2", 8, addresses=("10.0.0.2",), offset_ns=-7_660, error_ns=40_500),
    member("tcp://192.0.2.13:45678", 8, addresses=("10.0.1.1",), free_bytes=None, offset_ns=4_123_456, error_ns=99),
]
OTHERS = [
    member("m4", boot="m1"),
    member("m5", python="3.12.1"),
    member("m6", fourtuple="0.9"),
]
SILENT = (UnusedMember("m7", "it did not answer within 10 s"),)


def hosts(members: Iterable[Member]) -> FleetHosts:
    return hosts_of(members, fourtuple="1.0", python="3.11.2", silent=SILENT)


def _hosts(members: Iterable[Member]) -> str:
    return _text(face.hosts_lines(hosts(members)))


SCREENS = {
    "hosts": lambda: _hosts([*HOSTS, *OTHERS]),
    "hosts-differ": lambda: _hosts([*HOSTS, member("m9", kernel="6.1.0", python="3.11.1")]),
    "hosts-many": lambda: _hosts([member(f"node-{number:03}") for number in range(200)]),
    "hosts-none": lambda: _hosts(OTHERS[1:]),
    "limits": lambda: _text(face.limits_lines(limits_of(DESTINATION, [*FEW, server_of(60_000)]))),
    "limits-many": lambda: _text(face.limits_lines(limits_of(DESTINATION, MANY))),
    "limits-shared": lambda: _text(face.limits_lines(limits_of(["127.0.0.1:80"], WORKERS))),
    "plan-fits": lambda: _plan(40_000, FEW),
    "plan-fits-with-server": lambda: _plan(40_000, [*FEW, server_of(60_000)], 1000.0),
    "plan-server-stops": lambda: _plan(70_000, [*FEW, server_of(15_000, share=0.25)]),
    "plan-does-not-fit": lambda: _plan(200_000, [*FEW, server_of(60_000)]),
    "plan-perhaps": lambda: _plan(56_464, PERHAPS),
    "plan-many": lambda: _plan(5_000_000, MANY),
    "plan-too-many": lambda: _plan(100_000_000, MANY),
    "plan-nobody": lambda: _plan(1000, []),
}
