"""What the kernel says, garbled: a tree of /proc and cgroups, and netlink datagrams."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np

from fourtuple.core.census.records import By, Source
from fourtuple.core.census.usage import Usage
from fourtuple.core.census.view import View
from fourtuple.core.errors import FourtupleError
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.remarks import remarks
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCKET, State
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.faces.text.census import census_lines
from fourtuple.kernel.netlink import rtnetlink, sockdiag, wire
from fourtuple.kernel.proc import alive, cgroups, machine, net_tcp, netstat, owners, slab
from fourtuple.kernel.proc.owners import read_holders
from fourtuple.kernel.proc.world import read_world
from tests.fuzz import mutations
from tests.fuzz.running import call
from tests.kernel.netlink.test_sockdiag import recorded

KERNEL = Path(__file__).parent.parent / "kernel"
TREES, DATA = KERNEL / "proc" / "trees", KERNEL / "netlink" / "data"
SLABINFO = "TCP 17 20 2240 10 8 : tunables 0 0 0 : slabdata 2 2 0\n"
SPACE = TupleSpace.of(["127.0.0.1"], range(1, 65536), ["127.0.0.1:8000"])
USE = PortUse.of([np.zeros(0, SOCKET)], SPACE)
WORLD = read_world(
    SYSCTLS, 4121, known=(), proc=TREES / "default-host" / "proc", cgroups=TREES / "default-host" / "cgroup"
)
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
    lambda data: _census(data),
    lambda data: sockdiag.fold_sockets(lambda tables: PortUse.of(tables, SPACE), State, ask=lambda _: [data]),
]


def _census(data: bytes) -> None:
    """The census of the sockets in a datagram, as text."""
    listeners = sockdiag.read_listeners(lambda _: [data])
    usage, by = sockdiag.fold_sockets(
        lambda tables: Usage.of(tables, listeners, None, EVERYWHERE), State, ask=lambda _: [data]
    )
    for group in By:
        view = View.of(usage, group, 10)
        found = view.census(Source("", "", "", "", by, None, 0), WORLD, read_holders(view.inodes))
        list(census_lines(found))
        json.dumps(found.to_json(), default=str)


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
        lambda: alive.living(root)(alive.mark(root)),
        lambda: alive.living(root)("a b 1 2"),
        lambda: _weighed(tree),
    ]
    for read in readers:
        try:
            read()
        except FourtupleError:
            continue


def _weighed(tree: Path) -> None:
    pids = [int(each.name) for each in (tree / "proc").iterdir() if each.name.isdecimal()]
    world = read_world(SYSCTLS, pids[0], known=(), proc=tree / "proc", cgroups=tree / "cgroup")
    machine.found(world, "0", tree / "proc")
    for role in Role:
        weigh(Case(world=world, role=role, strategy=Strategy.LATE, ports=None, cpus=4))
    remarks(world, USE)


def netlink(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with the readers of garbled datagrams."""
    dumps = [b"".join(recorded(f"dump-{name}.bin")) for name in ("ipv4", "ipv6")]
    whole = [*dumps, *dumps, ADDRESS + DONE, ADDRESS * 3 + DONE, DONE]
    for data in dumps:  # unchanged they are read; otherwise nothing would be tested
        _census(data)
    while True:
        original = random.choice(whole)
        data = _contents(random, original) if random.random() < 0.6 else mutations.octets(random, original)
        wrong = "".join(call(_netlink, read, data) for read in READERS)
        yield wrong and f"{data[:2000].hex()}\n{wrong}"


def _contents(random: Random, data: bytes) -> bytes:
    """Other bytes inside messages, whose framing stays: states, families, ports, addresses, attributes."""
    changed = bytearray(data)
    starts = list(wire.offsets(data))
    for _ in range(random.choice((1, 2, 8))):
        start = random.choice(starts)
        length = int.from_bytes(data[start : start + 4], "little")
        if length > wire.HEADER.size:
            place = random.randrange(start + wire.HEADER.size, start + length)
            size = min(random.choice((1, 1, 2, 4)), start + length - place)
            changed[place : place + size] = random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))
    return bytes(changed)


def _netlink(read: Callable[[bytes], object], data: bytes) -> None:
    """A reader; an error of the kernel inside the datagram is an OSError, as if the call had failed."""
    try:
        read(data)
    except OSError:
        return
