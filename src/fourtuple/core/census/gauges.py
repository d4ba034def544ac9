"""The gauges of a namespace for a monitor: a bounded number of values, however many sockets there are."""

from collections.abc import Iterator, Mapping

import numpy as np

from fourtuple.core.backports import Self
from fourtuple.core.census.records import StateCount
from fourtuple.core.census.usage import COUNTS, Usage
from fourtuple.core.census.view import left_of, states_of
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.meters import EXPORTED
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import Numbers
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import four_tuples
from fourtuple.core.space.interval import Interval

REST = "other"  # stands for the pairs, or listeners, that are not among the first


@dataclass(frozen=True, slots=True)
class PairGauge:
    """One pair as in PairCount, or the sum of several: then source, and possibly destination, is REST.

    The server rows sum all connections that one listener has accepted, from any client.
    """

    role: Role
    source: str
    destination: str
    used: int
    time_wait: int
    close_wait: int
    usable: int | None
    left: Interval | None


@dataclass(frozen=True, slots=True)
class ListenerGauge:
    """One listener as in records.Listener, or the sum of all the others: then address is REST.

    drops: None: the sum of listeners of several namespaces, which may go down
    """

    address: str
    recv_q: int
    backlog: int
    drops: int | None


@dataclass(frozen=True, slots=True)
class Limited:
    """The value of one meter. name: as in fourtuple_NAME and fourtuple_NAME_max."""

    name: str
    value: int
    most: int | None


@dataclass(frozen=True, slots=True)
class CountFailure:
    """Why the sockets could not be counted this time."""

    reason: str


@dataclass(frozen=True)
class Gauges:
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
    unattributed_ports: int
    hidden_ports: int
    limited: tuple[Limited, ...]
    counters: Mapping[str, int]

    @classmethod
    def of(
        cls,
        usage: Usage,
        world: World,
        most: int,
        read_from: str,
        *,
        at_s: float,
        took_s: float,
        changed: int | None,
    ) -> Self:
        """most: pairs and listeners of their own. read_from: the source of the listing"""
        facts = world.ports
        hidden = min(world.most_hidden(read_from), usage.usable)
        is_server = usage.pairs["is_server"]
        return cls(
            netns=world.netns,
            kernel=world.kernel,
            at_s=at_s,
            took_s=took_s,
            changed=changed,
            pairs=tuple(_pairs(usage, most, usage.usable if facts else None, hidden)),
            pairs_total={Role.CLIENT: int((~is_server).sum()), Role.SERVER: int(is_server.sum())},
            states=tuple(states_of(usage)),
            listeners=tuple(_listeners(usage, most)),
            range=len(facts.port_range) if facts else None,
            reserved=len(facts.port_range) - facts.automatic_ports.size if facts else 0,
            blocked=usage.blocked,
            usable=usage.usable if facts else None,
            unattributed_ports=int(usage.unattributed.sum()),
            hidden_ports=hidden,
            limited=tuple(_limited(world)),
            counters=world.counters,
        )


def _pairs(usage: Usage, most: int, usable: int | None, hidden: int) -> Iterator[PairGauge]:
    """Clients' the worst first, servers' by listener, as their clients are many; and what is left of each role."""
    is_server = usage.pairs["is_server"]
    order = usage.worst()
    clients = order[~is_server[order]]
    for pair in clients[:most].tolist():
        yield _pair(usage, np.array([pair]), usable, hidden, usage.source(pair), usage.destination(pair))
    if len(clients) > most:
        yield _pair(usage, clients[most:], usable, hidden, REST, REST)
    servers = order[is_server[order]]
    _, keys = np.unique(usage.pairs[servers][["destination", "port"]], return_inverse=True)
    listeners = [servers[keys == key] for key in np.argsort(-np.bincount(keys), kind="stable")[:most].tolist()]
    for pairs in listeners:
        yield _pair(usage, pairs, usable, hidden, REST, usage.destination(int(pairs[0])))
    if len(rest := np.setdiff1d(servers, np.concatenate([servers[:0], *listeners]))):
        yield _pair(usage, rest, usable, hidden, REST, REST)


def _pair(usage: Usage, pairs: Numbers, usable: int | None, hidden: int, source: str, destination: str) -> PairGauge:
    rows = usage.pairs[pairs]
    is_server = bool(rows["is_server"][0])
    taken = int(rows["taken"].sum())
    everything = None if usable is None or is_server else usable * len(pairs)
    unsure = int(usage.unsure[pairs].sum()) + hidden * len(pairs)
    return PairGauge(
        role=Role.SERVER if is_server else Role.CLIENT,
        source=source,
        destination=destination,
        used=sum(int(rows[name].sum()) for name in COUNTS),
        time_wait=int(rows["time_wait"].sum()),
        close_wait=int(rows["close_wait"].sum()),
        usable=everything,
        left=None if everything is None else left_of(everything - taken, unsure),
    )


def _listeners(usage: Usage, most: int) -> Iterator[ListenerGauge]:
    """Listeners with the most waiting, then the most dropped, connections first."""
    table = usage.listeners
    order = np.lexsort((-table["drops"].astype(np.int64), -table["recv_q"].astype(np.int64)))
    for ends, row in zip(four_tuples(table[order[:most]]), table[order[:most]], strict=True):
        yield ListenerGauge(str(ends.source), int(row["recv_q"]), int(row["send_q"]), int(row["drops"]))
    if len(rest := table[order[most:]]):
        yield ListenerGauge(REST, *(int(rest[name].astype(np.int64).sum()) for name in ("recv_q", "send_q", "drops")))


def _limited(world: World) -> Iterator[Limited]:
    """The values that count against a limit, as far as they are available."""
    for meter in EXPORTED:
        found = meter.read(world)
        value = found.in_bytes(found.in_use)
        if value is not None:
            yield Limited(meter.metric, value, found.in_bytes(found.ceiling))
