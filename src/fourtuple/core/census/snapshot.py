"""What a monitor wants to know of a namespace, now and then: few numbers, however many sockets there are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fourtuple.core.census.records import StateCount, states_of
from fourtuple.core.census.usage import COUNTS, Usage
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.ports import Numbers
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import four_tuples

CONNTRACK = "net.netfilter.nf_conntrack"
REST = "other"  # stands for the pairs, or listeners, that are not among the first


@dataclass(frozen=True, slots=True)
class PairGauge:
    """A pair as PairCount, or several together: source, and perhaps destination, are REST then.

    Of a server all that a listener has accepted, whoever the client is.
    """

    role: Role
    source: str
    destination: str
    used: int
    time_wait: int
    close_wait: int
    usable: int | None
    left: int | None
    left_least: int | None


@dataclass(frozen=True, slots=True)
class ListenerGauge:
    """As counts.Listener, or all the others together: address is REST then."""

    address: str
    waiting: int
    queue: int
    drops: int


@dataclass(frozen=True, slots=True)
class Limited:
    """Something that the kernel counts against a limit. name: as in fourtuple_NAME and fourtuple_NAME_max"""

    name: str
    value: int
    most: int | None


@dataclass(frozen=True)
class Snapshot:
    """at_s: seconds since the epoch; took_s: to read and to count; changed: as counts.Source"""

    netns: str
    kernel: str
    at_s: float
    took_s: float
    changed: int | None
    pairs: tuple[PairGauge, ...]
    pairs_total: Mapping[Role, int]
    states: tuple[StateCount, ...]
    listeners: tuple[ListenerGauge, ...]
    range: int | None
    reserved: int
    blocked: int
    usable: int | None
    open_ports: int
    limited: tuple[Limited, ...]
    counters: Mapping[str, int]

    @classmethod
    def of(cls, usage: Usage, world: World, most: int, *, at_s: float, took_s: float, changed: int | None) -> Self:
        """most: pairs and listeners of their own"""
        facts = world.ports
        is_server = usage.pairs["is_server"]
        return cls(
            netns=world.netns,
            kernel=world.kernel,
            at_s=at_s,
            took_s=took_s,
            changed=changed,
            pairs=tuple(_pairs(usage, most, usage.usable if facts else None)),
            pairs_total={Role.CLIENT: int((~is_server).sum()), Role.SERVER: int(is_server.sum())},
            states=tuple(states_of(usage)),
            listeners=tuple(_listeners(usage, most)),
            range=len(facts.port_range) if facts else None,
            reserved=len(facts.port_range) - facts.automatic_ports.size if facts else 0,
            blocked=usage.blocked,
            usable=usage.usable if facts else None,
            open_ports=int(usage.open.sum()),
            limited=tuple(_limited(world)),
            counters=world.counters,
        )


def _pairs(usage: Usage, most: int, usable: int | None) -> Iterator[PairGauge]:
    """Clients' the worst first, servers' by listener, as their clients are many; and what is left of each role."""
    is_server = usage.pairs["is_server"]
    order = usage.worst()
    clients = order[~is_server[order]]
    for pair in clients[:most].tolist():
        yield _pair(usage, np.array([pair]), usable, usage.source(pair), usage.destination(pair))
    if len(clients) > most:
        yield _pair(usage, clients[most:], usable, REST, REST)
    servers = order[is_server[order]]
    _, keys = np.unique(usage.pairs[servers][["destination", "port"]], return_inverse=True)
    listeners = [servers[keys == key] for key in np.argsort(-np.bincount(keys), kind="stable")[:most].tolist()]
    for pairs in listeners:
        yield _pair(usage, pairs, usable, REST, usage.destination(int(pairs[0])))
    if len(rest := np.setdiff1d(servers, np.concatenate([servers[:0], *listeners]))):
        yield _pair(usage, rest, usable, REST, REST)


def _pair(usage: Usage, pairs: Numbers, usable: int | None, source: str, destination: str) -> PairGauge:
    rows = usage.pairs[pairs]
    is_server = bool(rows["is_server"][0])
    taken = int(rows["taken"].sum())
    everything = None if usable is None or is_server else usable * len(pairs)
    return PairGauge(
        role=Role.SERVER if is_server else Role.CLIENT,
        source=source,
        destination=destination,
        used=sum(int(rows[name].sum()) for name in COUNTS),
        time_wait=int(rows["time_wait"].sum()),
        close_wait=int(rows["close_wait"].sum()),
        usable=everything,
        left=None if everything is None else max(0, everything - taken),
        left_least=None if everything is None else max(0, everything - taken - int(usage.unsure[pairs].sum())),
    )


def _listeners(usage: Usage, most: int) -> Iterator[ListenerGauge]:
    """Those at whose queues most connections wait, or were lost, first."""
    table = usage.listeners
    order = np.lexsort((-table["drops"].astype(np.int64), -table["rqueue"].astype(np.int64)))
    for ends, row in zip(four_tuples(table[order[:most]]), table[order[:most]], strict=True):
        yield ListenerGauge(str(ends.source), int(row["rqueue"]), int(row["wqueue"]) + 1, int(row["drops"]))
    if len(rest := table[order[most:]]):
        sums = (int(rest[name].astype(np.int64).sum()) for name in ("rqueue", "wqueue", "drops"))
        waiting, backlogs, drops = sums
        yield ListenerGauge(REST, waiting, backlogs + len(rest), drops)


def _limited(world: World) -> Iterator[Limited]:
    """What is counted against a limit, as far as it is there."""
    pages = [int(word) for word in world.sysctls.get("net.ipv4.tcp_mem", "").split() if word.isdecimal()]
    memory = world.sockstat.get("TCP.mem")
    found: Sequence[tuple[str, int | None, int | None]] = (
        ("time_wait", world.sockstat.get("TCP.tw"), world.number("net.ipv4.tcp_max_tw_buckets")),
        ("orphans", world.sockstat.get("TCP.orphan"), world.number("net.ipv4.tcp_max_orphans")),
        ("tcp_memory_bytes", _bytes(memory, world), _bytes(pages[2] if len(pages) == 3 else None, world)),
        ("conntrack_entries", world.number(f"{CONNTRACK}_count"), world.number(f"{CONNTRACK}_max")),
        ("host_files", world.files_in_use, world.number("fs.file-max")),
        ("host_threads", world.threads, world.number("kernel.threads-max")),
        ("neighbours", world.neighbours, world.number("net.ipv4.neigh.default.gc_thresh3")),
    )
    for name, value, most in found:
        if value is not None:
            yield Limited(name, value, most)


def _bytes(pages: int | None, world: World) -> int | None:
    return None if pages is None else pages * world.page_bytes
