"""What the kernel says, garbled: a tree of /proc and cgroups, and netlink datagrams."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np

from fourtuple.core.errors import FourtupleError
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.remarks import remarks
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCKET, State
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.kernel.netlink import rtnetlink, sockdiag, wire
from fourtuple.kernel.proc import alive, cgroups, machine, net_tcp, netstat, owners, slab
from fourtuple.kernel.proc.world import read_world
from tests.fuzz import mutations
from tests.fuzz.running import call

KERNEL = Path(__file__).parent.parent / "kernel"
TREES, DATA = KERNEL / "proc" / "trees", KERNEL / "netlink" / "data"
SLABINFO = "TCP 17 20 2240 10 8 : tunables 0 0 0 : slabdata 2 2 0\n"
USE = PortUse.of([np.zeros(0, SOCKET)], TupleSpace.of(["192.0.2.4"], range(1, 65536), ["192.0.2.9:80"]))
DONE = wire.HEADER.pack(20, wire.NLMSG_DONE, 2, 7, 0) + bytes(4)
ADDRESS = (
    wire.HEADER.pack(16 + 8 + 8, rtnetlink.RTM_NEWADDR, 2, 7, 0)
    + bytes((2, 8, 0, 0, 1, 0, 0, 0))
    + (wire.attribute(rtnetlink.IFA_LOCAL, bytes((127, 0, 0, 1))))
)
READERS: list[Callable[[bytes], object]] = [
    sockdiag.parse_datagram,
    sockdiag.parse_listeners,
    lambda data: list(wire.dump([data], "a dump")),
    lambda data: rtnetlink.read_addresses(lambda _: [data]),
    lambda data: rtnetlink.parse_address(data[wire.HEADER.size :]),
]


def proc(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with the readers of a tree in which some files are garbled."""
    originals: dict[Path, dict[Path, bytes]] = {}
    for name in sorted(each.name for each in TREES.iterdir()):
        shutil.copytree(TREES / name, folder / name, symlinks=True)
        _add(folder / name / "proc")
        files = (file for file in sorted((folder / name).rglob("*")) if file.is_file() and not file.is_symlink())
        originals[folder / name] = {file: file.read_bytes() for file in files}
    while True:
        tree = random.choice(list(originals))
        garbled = random.sample(list(originals[tree]), random.choice((1, 1, 2, 5)))
        for file in garbled:
            file.chmod(0o644)
            file.write_bytes(_garbled(random, originals[tree][file]))
        wrong = call(_read, tree)
        yield wrong and f"{[(str(file.relative_to(tree)), file.read_bytes()[:300]) for file in garbled]}\n{wrong}"
        for file in garbled:
            file.write_bytes(originals[tree][file])


def _add(root: Path) -> None:
    """Files that the recorded trees lack."""
    net = root / "thread-self" / "net"
    net.mkdir(parents=True, exist_ok=True)
    for name in ("tcp", "tcp6"):
        shutil.copyfile(DATA / f"net-{name}.txt", net / name)
    (root / "slabinfo").write_text(SLABINFO)
    (root / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Processor\n")


def _garbled(random: Random, content: bytes) -> bytes:
    if random.random() < 0.4:
        return mutations.octets(random, content)
    return mutations.text(random, content.decode(errors="replace")).encode(errors="surrogateescape")


def _read(tree: Path) -> None:
    """Everything that is read of /proc, and what the limit model makes of it."""
    root = tree / "proc"
    readers: list[Callable[[], object]] = [
        lambda: list(net_tcp.read_proc_net_tcp(frozenset(State), root)),
        lambda: netstat.read_motion(root),
        lambda: netstat.read_open_sockets(root),
        lambda: cgroups.read_memory(root, tree / "cgroup"),
        lambda: owners.read_holders(np.array([1, 7, 4711], np.uint32), rings=True, proc=root),
        lambda: slab.read_slabs(["TCP"], root),
        lambda: alive.is_alive(alive.mark(root), root),
        lambda: alive.is_alive("a b 1 2", root),
        lambda: _weighed(tree),
    ]
    for read in readers:
        try:
            read()
        except FourtupleError:
            continue


def _weighed(tree: Path) -> None:
    pids = [int(each.name) for each in (tree / "proc").iterdir() if each.name.isdecimal()]
    world = read_world(SYSCTLS, pids[0], proc=tree / "proc", cgroups=tree / "cgroup")
    machine.found(world, "0", tree / "proc")
    for role in Role:
        weigh(Case(world=world, role=role, strategy=Strategy.LATE, ports=None, cpus=4))
    remarks(world, USE)


def netlink(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with the readers of garbled datagrams."""
    recorded = [(DATA / f"dump-{name}.bin").read_bytes() for name in ("ipv4", "ipv6")]
    whole = [*recorded, ADDRESS + DONE, ADDRESS * 3 + DONE, DONE]
    while True:
        data = mutations.octets(random, random.choice(whole))
        wrong = "".join(call(_netlink, read, data) for read in READERS)
        yield wrong and f"{data[:2000].hex()}\n{wrong}"


def _netlink(read: Callable[[bytes], object], data: bytes) -> None:
    """A reader; an error of the kernel inside the datagram is an OSError, as if the call had failed."""
    try:
        read(data)
    except OSError:
        return
