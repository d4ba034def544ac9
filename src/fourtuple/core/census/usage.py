"""The use of 4-tuples: sockets folded into one row for each pair of source address and destination.

Ports run out per pair. Each table of sockets is folded, then discarded. A row of 18 bytes per socket remains: its pair,
source port, state, user and inode. Within a table, pairs are distinguished by their addresses and port. Across tables
they are distinguished by a 64-bit hash of these, with random multipliers of this process; collisions are detected.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.time_wait import TIME_WAIT_MS, Reuse, reuse_of
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import MULTIPLIERS, Mask, Numbers, is_ipv4, is_wildcard, mixed
from fourtuple.core.sockets.filter import Where
from fourtuple.core.sockets.table import Chosen, Sockets, State, unmapped
from fourtuple.core.space.endpoints import Endpoint

COUNTS = ("established", "time_wait", "close_wait", "other")
PAIR = np.dtype(
    [
        ("hash", "u8"),
        ("source", "V16"),  # address, IPv4 in its mapped form
        ("destination", "V16"),
        ("port", "u2"),
        ("is_server", "?"),  # its sockets were accepted here
        *((name, "u4") for name in COUNTS),
        ("taken", "u4"),  # ports that connect() cannot choose because of its connections
    ]
)
ROW = np.dtype(
    [
        ("pair", "u4"),  # number of its pair; until all tables are folded, the number within its table
        ("port", "u2"),  # the source port; for an accepted socket that of its remote end
        ("state", "u1"),
        ("is_late", "?"),  # connect() is known to have chosen its port
        ("reuse", "u1"),  # Reuse: whether connect() can reuse its 4-tuple
        ("age_s", "u1"),  # time since it entered TIME_WAIT
        ("uid", "u4"),
        ("inode", "u4"),
    ]
)
HOLDER = np.dtype([("state", "u1"), ("uid", "u4"), ("inode", "u4")])
Pairs = NDArray[np.void]  # of dtype PAIR
Rows = NDArray[np.void]  # of dtype ROW

EVERY_PORT = np.arange(65536)
COUNT_OF = np.full(16, COUNTS.index("other"))
COUNT_OF[[State.ESTABLISHED, State.TIME_WAIT, State.CLOSE_WAIT]] = range(3)
_IDENTITY = ["source", "destination", "port", "is_server"]
_SOCKET_WORDS, _LOCAL, _REMOTE = 9, 1, 3  # words of 64 bits in a row of SOCKET, and where its addresses begin
_WORDS = 5  # words of a pair: source (2), destination (2), port with role (1)
_ONE = np.uint64(1)
_PLACE_BITS = 14  # low bits of a hash that hold the place of a row while the rows are sorted
_PLACES = np.arange(1 << _PLACE_BITS, dtype=np.uint64)
_MERGE_ROWS = 1 << 16  # rows of pairs that are collected before those of the same pair are added up


class HashCollisionError(Exception):
    """Two pairs have the same 64-bit hash.

    For a million pairs the probability is about 1 in 10**7. Another process draws other multipliers.
    """


@dataclass(frozen=True)
class Usage:
    """The sockets of a namespace by pair. Build one with `Usage.of`.

    pairs:     the pairs that pass the filter, sorted by hash
    chunks:    one row for each socket of these pairs
    listeners: the listening sockets, of dtype LISTENER
    named:     (65536,), ports that connected sockets named in bind(), on any address
    bound:     (65536,), `named` and the ports of sockets that listen or are only bound
    holders:   (65536,), one of the sockets that hold each bound port
    automatic: (65536,), the port range without reserved ports; all false if it is unknown
    idle:      how many sockets are only bound, as far as they are listed
    bind_is_released: as in PortFacts
    """

    pairs: Pairs
    chunks: tuple[Rows, ...]
    listeners: Sockets
    named: Mask
    bound: Mask
    holders: NDArray[np.void]
    automatic: Mask
    idle: int
    bind_is_released: bool = True

    @classmethod
    def of(
        cls,
        tables: Iterable[Sockets],
        listeners: Sockets,
        facts: PortFacts | None,
        where: Where,
        bound: Mask | None = None,
    ) -> Self:
        """Fold tables of sockets.

        tables:    as fold_sockets gives them, with or without listening sockets
        listeners: the listening sockets, of dtype LISTENER
        facts:     the ports that connect() chooses from, and its rules for reuse; None: unknown
        where:     which connections count; the tables may be filtered already
        bound:     ports already known to be taken by bind(); None: none is known

        Raises HashCollisionError.
        """
        automatic = facts.automatic_ports.mask if facts else np.zeros(65536, bool)
        listening = Listening.of(listeners)
        named = np.zeros(65536, bool) if bound is None else bound.copy()
        holders, idle = np.zeros(65536, HOLDER), 0
        parts, waiting = [np.zeros(0, PAIR)], 0
        chunks: list[tuple[Rows, NDArray[np.uint64]]] = []

        def hold(rows: Sockets) -> None:
            for name in HOLDER.names or ():
                holders[name][rows["local_port"]] = rows[name]

        for table in tables:
            is_idle = table["state"] == State.CLOSE
            is_named = table["chosen"] == Chosen.BOUND
            hold(table[is_idle | is_named])
            named[table["local_port"][is_named & ~is_idle & (table["state"] != State.LISTEN)]] = True
            if (unconnected := is_idle | (table["state"] == State.LISTEN)).any():
                idle += int(is_idle.sum())
                table = table[~unconnected]
            for start in range(0, len(table), len(_PLACES)):
                piece = table[start : start + len(_PLACES)]
                part, rows = _folded(piece, listening.have(piece), facts)
                chunks.append((rows, part["hash"].copy()))
                parts.append(part)
                waiting += len(part)
                if waiting > _MERGE_ROWS + 2 * len(parts[0]):
                    parts, waiting = [_merged(parts)], 0
        hold(listeners)
        bound = named | (holders["state"] != 0)
        pairs = _merged(parts)
        pairs = pairs[where.has(pairs["source"], pairs["destination"], pairs["port"])]
        numbered = tuple(_numbered(*chunk, pairs["hash"]) for chunk in chunks)
        is_released = facts is None or facts.bind_is_released
        usage = cls(pairs, numbered, listeners, named, bound, holders, automatic, idle, is_released)
        pairs["taken"] = usage._taken()
        return usage

    @cached_property
    def free(self) -> Mask:
        """(65536,): ports that connect() can choose."""
        return self.automatic & ~self.bound

    @property
    def usable(self) -> int:
        """How many ports connect() can choose."""
        return int(self.free.sum())

    @property
    def blocked(self) -> int:
        """How many ports of the range connect() cannot choose, because sockets hold them."""
        return int((self.automatic & self.bound).sum())

    def _taken(self) -> Numbers:
        """(pairs,): how many free ports connect() cannot choose because of each pair's connections; servers: 0."""
        taken = np.zeros(len(self.pairs), np.int64)
        for rows in self.chunks:
            kept = self.free[rows["port"]] & (rows["reuse"] == Reuse.NO) & ~self.pairs["is_server"][rows["pair"]]
            taken += np.bincount(rows["pair"][kept], minlength=len(taken))
        return taken

    def _clients(self) -> Iterator[Rows]:
        """Yield the rows of client sockets, chunk by chunk."""
        for rows in self.chunks:
            yield rows[~self.pairs["is_server"][rows["pair"]]]

    @cached_property
    def states(self) -> Numbers:
        """(2, 16): how many client sockets, and how many server sockets, are in each state."""
        counts = np.zeros((2, 16), np.int64)
        for rows in self.chunks:
            is_server = self.pairs["is_server"][rows["pair"]]
            counts += np.bincount(is_server * 16 + rows["state"], minlength=32).reshape(2, 16)
        return counts

    @cached_property
    def connections(self) -> Numbers:
        """(65536,): how many client connections use each local port."""
        counts = np.zeros(65536, np.int64)
        for rows in self._clients():
            counts += np.bincount(rows["port"], minlength=65536)
        return counts

    @cached_property
    def unattributed(self) -> Mask:
        """(65536,): ports for which the kernel does not report whether connect() or bind(address, 0) chose them.

        A port that bind(address, 0) chose serves one socket only. If several sockets, one of them not in TIME_WAIT,
        have the same address and port, connect() chose it (`PortUse`). Before BIND_RELEASED that tells nothing about
        sockets that are closed by now: the port of every connection is unattributed.
        """
        if not self.bind_is_released:
            return self.free & (self.connections > 0)
        client = ~self.pairs["is_server"]
        sources = np.zeros(len(self.pairs), np.int64)
        _, sources[client] = np.unique(self.pairs["source"][client], return_inverse=True)
        ends, late, alive = [np.zeros(0, np.int64)], [np.zeros(0, bool)], [np.zeros(0, bool)]
        for rows in self._clients():
            rows = rows[self.free[rows["port"]]]
            ends.append(sources[rows["pair"]] << 16 | rows["port"])
            late.append(rows["is_late"])
            alive.append(rows["state"] != State.TIME_WAIT)
        end = np.concatenate(ends)
        order = np.argsort(end, kind="stable")
        starts = _starts(end[order])
        if not len(starts):
            return np.zeros(65536, bool)
        sizes = np.diff(starts, append=len(end))
        is_shared = (sizes > 1) & np.logical_or.reduceat(np.concatenate(alive)[order], starts)
        is_known = np.logical_and.reduceat(np.concatenate(late)[order], starts)
        mask = np.zeros(65536, bool)
        mask[end[order][starts][~is_shared & ~is_known] & 0xFFFF] = True
        return mask

    @cached_property
    def unsure(self) -> Numbers:
        """(pairs,): ports counted as left for each pair that may be lost: unattributed, or not yet reusable."""
        own = np.zeros(len(self.pairs), np.int64)
        for rows in self.chunks:
            client = ~self.pairs["is_server"][rows["pair"]] & self.free[rows["port"]]
            unattributed = self.unattributed[rows["port"]]
            for reuse, kept, sign in ((Reuse.NO, unattributed, 1), (Reuse.PERHAPS, ~unattributed, -1)):
                mine = client & kept & (rows["reuse"] == reuse)
                own += sign * np.bincount(rows["pair"][mine], minlength=len(own))
        return int(self.unattributed.sum()) - own

    def worst(self) -> Numbers:
        """The numbers of the pairs, fullest first: clients by ports taken, then by sockets; after them servers."""
        used = sum((self.pairs[name].astype(np.int64) for name in COUNTS), np.zeros(len(self.pairs), np.int64))
        order: Numbers = np.lexsort((-used, -self.pairs["taken"].astype(np.int64), self.pairs["is_server"]))
        return order

    def in_state(self, state: State) -> Rows:
        """The rows of all sockets in this state."""
        return np.concatenate([np.zeros(0, ROW), *(rows[rows["state"] == state] for rows in self.chunks)])

    def source(self, pair: int) -> str:
        """The source address of the pair with this number."""
        return str(unmapped(self.pairs["source"][pair].tobytes()))

    def destination(self, pair: int) -> str:
        """The destination of the pair with this number, as ADDRESS:PORT."""
        row = self.pairs[pair]
        return str(Endpoint(unmapped(row["destination"].tobytes()), int(row["port"])))

    def opened_since(self, before: "Usage", since_s: float) -> Numbers:
        """(pairs,): how many connections were opened since `before`, which was taken `since_s` ago.

        A connection is new if its 4-tuple did not exist before. It is also new if its 4-tuple was in TIME_WAIT then and
        now is not, or entered TIME_WAIT since. A connection that was closed without TIME_WAIT and opened again from the
        same port is not counted.
        """
        chunks = list(zip(before.chunks, before._identities(), strict=True))
        known = np.sort(np.concatenate([np.zeros(0, np.uint64), *(each for _, each in chunks)]))
        waits = [each[rows["state"] == State.TIME_WAIT] for rows, each in chunks]
        waited = np.sort(np.concatenate([np.zeros(0, np.uint64), *waits]))
        opened = np.zeros(len(self.pairs), np.int64)
        for rows, identities in zip(self.chunks, self._identities(), strict=True):
            is_new = ~_among(identities, known)
            again = (rows["state"] != State.TIME_WAIT) | (rows["age_s"] + 1 < since_s)
            is_new |= again & _among(identities, waited)
            opened += np.bincount(rows["pair"][is_new], minlength=len(opened))
        return opened

    def _identities(self) -> Iterator[NDArray[np.uint64]]:
        """Yield for each chunk the hashes of its 4-tuples."""
        for rows in self.chunks:
            yield self.pairs["hash"][rows["pair"]] + rows["port"] * MULTIPLIERS[-1]

    def like(self, before: "Usage") -> Numbers:
        """(pairs,): the number of each pair in `before`; −1: it is not in it."""
        number = np.searchsorted(before.pairs["hash"], self.pairs["hash"])
        found = np.minimum(number, max(0, len(before.pairs) - 1))
        if not len(before.pairs):
            return np.full(len(self.pairs), -1)
        return np.where(before.pairs["hash"][found] == self.pairs["hash"], found, -1)


def _among(values: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """(values,): which values are in the ascending `ordered`."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    found: NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
    return found


@dataclass(frozen=True, slots=True)
class Listening:
    """The listeners' ports: which sockets were accepted there?

    everywhere: (2, 65536), ports with a listener on 0.0.0.0 or ::, for IPv6 and for IPv4; :: counts for both, unless
                IPV6_V6ONLY is set
    somewhere:  (65536, 2), a specific address with a listener on each port, as words; zeros: none
    several:    (65536,), ports with listeners on more than one specific address
    ends:       all listeners on specific addresses, as address and port
    """

    everywhere: Mask
    somewhere: NDArray[np.uint64]
    several: Mask
    ends: frozenset[tuple[bytes, int]]

    @classmethod
    def of(cls, listeners: Sockets) -> Self:
        wild = is_wildcard(listeners["local"])
        everywhere, somewhere = np.zeros((2, 65536), bool), np.zeros((65536, 2), np.uint64)
        everywhere[1, listeners["local_port"][wild]] = True
        everywhere[0, listeners["local_port"][wild & ~is_ipv4(listeners["local"])]] = True
        named = listeners[~wild]
        ports = named["local_port"].astype(np.intp)
        somewhere[ports] = np.ascontiguousarray(named["local"]).view(np.uint64).reshape(-1, 2)
        ends = frozenset(zip((each.tobytes() for each in named["local"]), ports.tolist(), strict=True))
        several = np.bincount([port for _, port in ends], minlength=65536) > 1 if ends else np.zeros(65536, bool)
        return cls(everywhere, somewhere, several, ends)

    def have(self, table: Sockets) -> NDArray[np.bool_]:
        """(table,): which connected sockets belong to a listener.

        A socket in SYN_RECV or NEW_SYN_RECV always does, even if its listener has closed.
        """
        ports, states, words = table["local_port"].astype(np.intp), table["state"], _words(table)
        found: NDArray[np.bool_] = (states == State.SYN_RECV) | (states == State.NEW_SYN_RECV)
        if self.everywhere[1].any():
            found |= self.everywhere[is_ipv4(table["local"]).astype(np.intp), ports]
        is_there = self.somewhere[ports] == words[:, _LOCAL : _LOCAL + 2]
        found |= is_there[:, 0] & is_there[:, 1]
        perhaps = np.flatnonzero(self.several[ports] & ~found)
        if len(perhaps):
            keys = [words[perhaps, _LOCAL], words[perhaps, _LOCAL + 1], ports[perhaps].astype(np.uint64)]
            order, starts = _groups(keys, mixed(keys))
            first = perhaps[order[starts]]
            is_ours = [
                (address.tobytes(), port) in self.ends
                for address, port in zip(table["local"][first], ports[first].tolist(), strict=True)
            ]
            found[perhaps[order]] = np.repeat(is_ours, np.diff(starts, append=len(order)))
        return found


def _folded(table: Sockets, is_server: NDArray[np.bool_], facts: PortFacts | None) -> tuple[Pairs, Rows]:
    """Fold a table of at most 2**_PLACE_BITS connected sockets into its pairs, and a row for each socket."""
    keys = list(_keys(table, is_server))
    hashes = mixed(keys)
    order, starts = _groups(keys, hashes)
    sizes = np.diff(starts, append=len(order))
    firsts = order[starts]
    part = np.zeros(len(starts), PAIR)
    part["hash"] = hashes[firsts]
    part["source"] = np.column_stack([keys[0][firsts], keys[1][firsts]]).view("V16")[:, 0]
    part["destination"] = np.column_stack([keys[2][firsts], keys[3][firsts]]).view("V16")[:, 0]
    part["port"], part["is_server"] = keys[4][firsts] >> _ONE, keys[4][firsts] & _ONE
    numbers = np.repeat(np.arange(len(starts)), sizes)
    cells = numbers * len(COUNTS) + COUNT_OF[table["state"][order]]
    counts = np.bincount(cells, minlength=len(starts) * len(COUNTS)).reshape(-1, len(COUNTS))
    for name, column in zip(COUNTS, counts.T, strict=True):
        part[name] = column
    rows = np.zeros(len(table), ROW)
    rows["pair"][order] = numbers
    rows["port"] = np.where(is_server, table["remote_port"], table["local_port"])
    rows["is_late"] = table["chosen"] == Chosen.LATE
    rows["state"], rows["uid"], rows["inode"] = table["state"], table["uid"], table["inode"]
    rows["age_s"] = np.where(table["state"] == State.TIME_WAIT, _age_s(table["expires_ms"]), 0)
    if facts:
        rows["reuse"] = reuse_of(table, facts)
    return part, rows


def _age_s(expires_ms: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Time since sockets entered TIME_WAIT, from the time that is left."""
    return (TIME_WAIT_MS - np.minimum(expires_ms, TIME_WAIT_MS)) // 1000


def _keys(table: Sockets, is_server: NDArray[np.bool_]) -> Iterator[NDArray[np.uint64]]:
    """Yield the _WORDS columns that identify a pair; for an accepted socket the remote end is the source."""
    words = _words(table)
    for near, far in itertools.pairwise((_LOCAL, _REMOTE, _LOCAL)):
        for half in range(2):
            yield np.where(is_server, words[:, far + half], words[:, near + half])
    yield np.where(is_server, table["local_port"], table["remote_port"]).astype(np.uint64) << _ONE | is_server


def _words(table: Sockets) -> NDArray[np.uint64]:
    """(n, _SOCKET_WORDS): the rows as words of 64 bits."""
    return np.ascontiguousarray(table).view(np.uint64).reshape(-1, _SOCKET_WORDS)


def _groups(keys: Sequence[NDArray[np.uint64]], hashes: NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """(an order in which equal rows are adjacent, the start of each group in that order)

    np.sort is much faster than np.argsort, so the low bits of each hash are replaced by its place. If different rows
    have the same high bits, a group may be split.
    """
    places = _PLACES[: len(hashes)]
    order = np.sort(hashes & ~_PLACES[-1] | places) & _PLACES[-1]
    order = order.astype(np.int64)
    differ = np.ones(len(order), bool)
    differ[1:] = False
    for column in keys:
        ordered = column[order]
        differ[1:] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(differ)


def _starts(ordered: NDArray[Any]) -> Numbers:
    """Where each run of equal values starts."""
    return np.flatnonzero(np.concatenate((np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1])))


def _merged(parts: list[Pairs]) -> Pairs:
    """Each pair once, with its counts added up, sorted by hash. Raises HashCollisionError."""
    rows = np.concatenate(parts)
    order = np.argsort(rows["hash"])
    starts = _starts(rows["hash"][order])
    if not len(starts):
        return rows
    merged = rows[order[starts]]
    sizes = np.diff(starts, append=len(order))
    for name in _IDENTITY:
        if not np.array_equal(rows[name][order], np.repeat(merged[name], sizes)):
            raise HashCollisionError
    for name in COUNTS:
        merged[name] = np.add.reduceat(rows[name][order], starts)
    return merged


def _numbered(rows: Rows, own: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> Rows:
    """The rows whose pair is in `hashes`, renumbered by it.

    own:    the hash of each pair of the table
    hashes: of the pairs that are kept, ascending
    """
    if not len(hashes):
        return rows[:0]
    numbers = np.minimum(np.searchsorted(hashes, own), len(hashes) - 1)
    ours = hashes[numbers] == own
    if not ours.all():
        rows = rows[ours[rows["pair"]]]
    rows["pair"] = numbers[rows["pair"]]
    return rows
