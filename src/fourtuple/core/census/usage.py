"""The use of 4-tuples: sockets folded into one row for each pair of source address and destination.

Ports run out per pair. Each table of sockets is folded, then discarded. A row of 18 bytes per socket remains: its pair,
source port, state, user and inode. Pairs are distinguished by their addresses and port; from one usage to the next, by
a 64-bit hash of these, with random multipliers of this process; collisions are detected.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.time_wait import TIME_WAIT_MS, Reuse, reuse_of
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import MULTIPLIERS, Mask, Numbers, is_ipv4
from fourtuple.core.sockets.filter import Where
from fourtuple.core.sockets.listening import Listening
from fourtuple.core.sockets.numbering import HashCollisionError, Numbering, RowNumbers
from fourtuple.core.sockets.table import MAPPED, Chosen, Sockets, State, unmapped
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

COUNT_OF = np.full(16, COUNTS.index("other"))
COUNT_OF[[State.ESTABLISHED, State.TIME_WAIT, State.CLOSE_WAIT]] = range(3)
AF_INET = 2  # of Linux, wherever this runs
PIECE = 1 << 14  # sockets that are folded at once, so that their columns stay in a CPU's cache
CHUNK = 1 << 18  # rows of a chunk


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
        named = np.zeros(65536, bool) if bound is None else bound.copy()
        holders, idle = np.zeros(65536, HOLDER), 0
        folding = _Folding(Listening.of(listeners), facts)

        def hold(rows: Sockets) -> None:
            for name in HOLDER.names or ():
                holders[name][rows["local_port"]] = rows[name]

        for table in tables:
            states = np.ascontiguousarray(table["state"])
            is_idle = states == State.CLOSE
            is_named = table["chosen"] == Chosen.BOUND
            if (holds := is_idle | is_named).any():
                hold(table[holds])
                named[table["local_port"][is_named & ~is_idle & (states != State.LISTEN)]] = True
            if (unconnected := is_idle | (states == State.LISTEN)).any():
                idle += int(is_idle.sum())
                table = table[~unconnected]
            for start in range(0, len(table), PIECE):
                folding.add(table[start : start + PIECE])
        hold(listeners)
        bound = named | (holders["state"] != 0)
        pairs, numbered = folding.result(where)
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


class _Folding:
    """Tables of connected sockets so far: the pairs, numbered from 1, and chunks of rows with these numbers."""

    def __init__(self, listening: Listening, facts: PortFacts | None) -> None:
        self._listening, self._facts = listening, facts
        self._pairs = Numbering(_WORDS)
        self._chunks: list[Rows] = [np.zeros(CHUNK, ROW)]
        self._used = 0  # rows of the last chunk

    def add(self, table: Sockets) -> None:
        """Fold a table of at most PIECE sockets. Raises HashCollisionError."""
        if self._used + len(table) > CHUNK:
            self._chunks[-1] = self._chunks[-1][: self._used]
            self._chunks.append(np.zeros(CHUNK, ROW))
            self._used = 0
        rows = self._chunks[-1][self._used : self._used + len(table)]
        self._used += len(table)
        is_server = self._listening.have(table)
        rows["pair"] = self._numbers(table, is_server)
        rows["port"] = np.where(is_server, table["remote_port"], table["local_port"])
        rows["is_late"] = table["chosen"] == Chosen.LATE
        rows["state"], rows["uid"], rows["inode"] = table["state"], table["uid"], table["inode"]
        waits = rows["state"] == State.TIME_WAIT
        if waits.any():
            rows["age_s"][waits] = _age_s(table["expires_ms"][waits])
        if self._facts:
            rows["reuse"] = reuse_of(table, self._facts)

    def _numbers(self, table: Sockets, is_server: NDArray[np.bool_]) -> RowNumbers:
        """(table,): the number of each socket's pair."""
        tags = np.where(is_server, table["local_port"], table["remote_port"]).astype(np.uint64) << _TAG_BITS | is_server
        is_short = _are_ipv4(table)
        if is_short.all():
            return self._pairs.add(_short_words(table, is_server, tags))
        numbers = np.zeros(len(table), np.uint32)
        for words_of, which in ((_short_words, is_short), (_long_words, ~is_short)):
            numbers[which] = self._pairs.add(words_of(table[which], is_server[which], tags[which]))
        return numbers

    def result(self, where: Where) -> tuple[Pairs, tuple[Rows, ...]]:
        """(the pairs that pass the filter, sorted by hash; the rows of their sockets). Raises HashCollisionError."""
        order = np.argsort(self._pairs.hashes)
        hashes = self._pairs.hashes[order]
        if (hashes[1:] == hashes[:-1]).any():
            raise HashCollisionError
        pairs = _pairs_of(self._pairs.words[:, order])
        pairs["hash"] = hashes
        passes = where.has(pairs["source"], pairs["destination"], pairs["port"])
        pairs = pairs[passes]
        numbers = np.zeros(self._pairs.count + 1, np.uint32)
        numbers[order[passes] + 1] = np.arange(len(pairs))
        is_ours = np.zeros(self._pairs.count + 1, bool)
        is_ours[order[passes] + 1] = True
        self._chunks[-1] = self._chunks[-1][: self._used]
        counts = np.zeros((len(pairs), len(COUNTS)), np.int64)
        for place, rows in enumerate(self._chunks):
            if not passes.all():
                rows = self._chunks[place] = rows[is_ours[rows["pair"]]]
            rows["pair"] = numbers[rows["pair"]]
            cells = rows["pair"].astype(np.int64) * len(COUNTS) + COUNT_OF[rows["state"]]
            counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
        for name, column in zip(COUNTS, counts.T, strict=True):
            pairs[name] = column
        return pairs, tuple(self._chunks)


# A pair as words: its tag, and its addresses. The tag is the port, whether they are IPv6, and the role.
_WORDS = 5
_TAG_BITS, _IS_IPV6, _IS_SERVER = np.uint64(2), np.uint64(2), np.uint64(1)
_HALF = np.uint64(32)


def _are_ipv4(table: Sockets) -> NDArray[np.bool_]:
    """(table,): which sockets have IPv4 addresses."""
    found: NDArray[np.bool_] = table["family"] == AF_INET
    return found if found.all() else is_ipv4(table["local"]) & is_ipv4(table["remote"])


def _short_words(
    table: Sockets, is_server: NDArray[np.bool_], tags: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], ...]:
    """The words of each socket's pair, both IPv4 addresses in one. An accepted socket's source is its remote end."""
    near, far = (table[name][:, None].view(np.uint32)[:, 3].astype(np.uint64) for name in ("local", "remote"))
    return tags, np.where(is_server, far << _HALF | near, near << _HALF | far)


def _long_words(
    table: Sockets, is_server: NDArray[np.bool_], tags: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], ...]:
    """The same with addresses of two words each."""
    near, far = (table[name][:, None].view(np.uint64) for name in ("local", "remote"))
    ends = [
        np.where(is_server, one[:, half], other[:, half])
        for one, other in ((far, near), (near, far))
        for half in (0, 1)
    ]
    return tags | _IS_IPV6, *ends


def _pairs_of(words: NDArray[np.uint64]) -> Pairs:
    """A row for each pair, without hash and counts."""
    tags, is_long = words[0], words[0] & _IS_IPV6 != 0
    pairs = np.zeros(len(tags), PAIR)
    pairs["port"], pairs["is_server"] = tags >> _TAG_BITS, tags & _IS_SERVER
    for name, short, long in (("source", words[1] >> _HALF, words[1:3]), ("destination", words[1], words[3:5])):
        address = np.zeros((len(tags), 4), np.uint32)
        address[:, :3] = np.frombuffer(MAPPED, np.uint32)
        address[:, 3] = short & np.uint64(0xFFFFFFFF)
        address.view(np.uint64)[is_long] = long.T[is_long]
        pairs[name] = address.view("V16")[:, 0]
    return pairs


def _age_s(expires_ms: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Time since sockets entered TIME_WAIT, from the time that is left."""
    return (TIME_WAIT_MS - np.minimum(expires_ms, TIME_WAIT_MS)) // 1000


def _starts(ordered: NDArray[Any]) -> Numbers:
    """Where each run of equal values starts."""
    return np.flatnonzero(np.concatenate((np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1])))
