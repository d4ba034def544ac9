"""Who uses which 4-tuples: sockets folded into one row for each source address and destination, as that runs out.

A table of sockets is folded and forgotten. What stays of a socket is a row of 18 bytes: which pair it belongs to, its
source port, state, user and inode. Within a table pairs are told apart by their addresses and port, across tables by a
64-bit hash of those, with multipliers that this process has drawn; that no two pairs have the same one is checked.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.attribution import TIME_WAIT_MS, is_reusable
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.columns import Mask, Numbers, is_ipv4, is_wildcard
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
        ("is_server", "?"),  # these are accepted ends
        *((name, "u4") for name in COUNTS),
        ("taken", "u4"),  # ports that its connections keep from connect()
    ]
)
ROW = np.dtype(
    [
        ("pair", "u4"),  # its number; until all are folded, that within its table
        ("port", "u2"),  # the source's: of an accepted socket that of its far end
        ("state", "u1"),
        ("is_late", "?"),  # its port is known to have been chosen by connect()
        ("is_reusable", "?"),  # in TIME_WAIT, and connect() may take it over
        ("age_s", "u1"),  # for how long it has been in TIME_WAIT
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
_SOCKET_WORDS, _LOCAL, _REMOTE = 9, 1, 3  # a row of SOCKET as words of 64 bits, and where its addresses are
_WORDS = 5  # of a pair: source, destination, and port and role in one
_MULTIPLIERS = [np.uint64(random.getrandbits(64) | 1) for _ in range(_WORDS + 1)]
_SHIFT, _ONE = np.uint64(32), np.uint64(1)
_PLACE_BITS = 14  # what tells the rows of a table apart while they are sorted
_PLACES = np.arange(1 << _PLACE_BITS, dtype=np.uint64)
_MERGE_ROWS = 1 << 16  # rows of pairs that are collected before those of the same pair are added up


class HashCollisionError(Exception):
    """Two pairs have the same 64-bit hash: once in 10**7 times for a million pairs. Another process draws others."""


@dataclass(frozen=True)
class Usage:
    """The sockets of a namespace by pair. Fold one with `Usage.of`.

    pairs:     those asked about, sorted by hash
    chunks:    a row for each of their sockets
    listeners: as LISTENER
    named:     (65536,), ports that sockets which are connected have named in bind(), on whatever address
    bound:     (65536,), these, and those of sockets that listen or are only bound
    holders:   (65536,), one of the sockets that has got each of these
    automatic: (65536,), the range less what is reserved; none where it is not known
    idle:      how many sockets are only bound
    """

    pairs: Pairs
    chunks: tuple[Rows, ...]
    listeners: Sockets
    named: Mask
    bound: Mask
    holders: NDArray[np.void]
    automatic: Mask
    idle: int

    @classmethod
    def of(
        cls,
        tables: Iterable[Sockets],
        listeners: Sockets,
        facts: PortFacts | None,
        where: Where,
        bound: Mask | None = None,
    ) -> Self:
        """tables: as fold_sockets gives them, with or without those that listen

        listeners: as LISTENER
        facts:     which ports connect() chooses from, and what it takes over; None: not known
        where:     which connections count; they may be filtered already
        bound:     ports already known to be taken by bind(); None: none is known

        Raises HashCollisionError.
        """
        automatic = facts.automatic_ports.mask if facts else np.zeros(65536, bool)
        listening = _Listening.of(listeners)
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
        usage = cls(pairs, numbered, listeners, named, bound, holders, automatic, idle)
        pairs["taken"] = usage._taken()
        return usage

    @cached_property
    def free(self) -> Mask:
        """(65536,): ports that connect() chooses from."""
        return self.automatic & ~self.bound

    @property
    def usable(self) -> int:
        return int(self.free.sum())

    @property
    def blocked(self) -> int:
        return int((self.automatic & self.bound).sum())

    def _taken(self) -> Numbers:
        taken = np.zeros(len(self.pairs), np.int64)
        for rows in self.chunks:
            kept = self.free[rows["port"]] & ~rows["is_reusable"] & ~self.pairs["is_server"][rows["pair"]]
            taken += np.bincount(rows["pair"][kept], minlength=len(taken))
        return taken

    def _clients(self) -> Iterator[Rows]:
        for rows in self.chunks:
            yield rows[~self.pairs["is_server"][rows["pair"]]]

    @cached_property
    def states(self) -> Numbers:
        """(2, 16): how many sockets of clients, and of servers, are in each state."""
        counts = np.zeros((2, 16), np.int64)
        for rows in self.chunks:
            is_server = self.pairs["is_server"][rows["pair"]]
            counts += np.bincount(is_server * 16 + rows["state"], minlength=32).reshape(2, 16)
        return counts

    @cached_property
    def connections(self) -> Numbers:
        """(65536,): how many connections clients have on each local port."""
        counts = np.zeros(65536, np.int64)
        for rows in self._clients():
            counts += np.bincount(rows["port"], minlength=65536)
        return counts

    @cached_property
    def unattributed(self) -> Mask:
        """(65536,): ports of which the kernel does not report what chose them: bind(address, 0) keeps one for itself.

        Where two sockets that live have the same address and port, connect() did (`PortUse`).
        """
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
        """(pairs,): `unattributed` ports that count as left for each: lost if bind(address, 0) has chosen them."""
        own = np.zeros(len(self.pairs), np.int64)
        for rows in self.chunks:
            kept = self.unattributed[rows["port"]] & ~rows["is_reusable"] & ~self.pairs["is_server"][rows["pair"]]
            own += np.bincount(rows["pair"][kept], minlength=len(own))
        return int(self.unattributed.sum()) - own

    def worst(self) -> Numbers:
        """Numbers of the pairs: clients' by the ports that they have taken, then by sockets; then servers'."""
        used = sum((self.pairs[name].astype(np.int64) for name in COUNTS), np.zeros(len(self.pairs), np.int64))
        order: Numbers = np.lexsort((-used, -self.pairs["taken"].astype(np.int64), self.pairs["is_server"]))
        return order

    def in_state(self, state: State) -> Rows:
        return np.concatenate([np.zeros(0, ROW), *(rows[rows["state"] == state] for rows in self.chunks)])

    def source(self, pair: int) -> str:
        return str(unmapped(self.pairs["source"][pair].tobytes()))

    def destination(self, pair: int) -> str:
        row = self.pairs[pair]
        return str(Endpoint(unmapped(row["destination"].tobytes()), int(row["port"])))

    def opened_since(self, before: "Usage", since_s: float) -> Numbers:
        """(pairs,): connections that were not there `since_s` ago, or were in TIME_WAIT and are not, or only just are.

        One that was closed without TIME_WAIT and opened again from the same port is not seen to be new.
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
        for rows in self.chunks:
            yield self.pairs["hash"][rows["pair"]] + rows["port"] * _MULTIPLIERS[-1]

    def like(self, before: "Usage") -> Numbers:
        """(pairs,): the number that each pair had before; −1: it was not there."""
        number = np.searchsorted(before.pairs["hash"], self.pairs["hash"])
        found = np.minimum(number, max(0, len(before.pairs) - 1))
        if not len(before.pairs):
            return np.full(len(self.pairs), -1)
        return np.where(before.pairs["hash"][found] == self.pairs["hash"], found, -1)


def _among(values: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(values), bool)
    found: NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
    return found


@dataclass(frozen=True, slots=True)
class _Listening:
    """The listeners' ports: which sockets were accepted there?

    everywhere: (2, 65536), on 0.0.0.0 or ::, for IPv6 and for IPv4; :: is of both, unless IPV6_V6ONLY is set
    somewhere:  (65536, 2), on this other one, as words; zeros: on none
    several:    (65536,), on more than one other
    ends:       all of those, as address and port
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
        """A socket that has not answered a SYN yet belongs to a listener, even if that listener has closed."""
        ports, states, words = table["local_port"].astype(np.intp), table["state"], _words(table)
        found: NDArray[np.bool_] = (states == State.SYN_RECV) | (states == State.NEW_SYN_RECV)
        if self.everywhere[1].any():
            found |= self.everywhere[is_ipv4(table["local"]).astype(np.intp), ports]
        is_there = self.somewhere[ports] == words[:, _LOCAL : _LOCAL + 2]
        found |= is_there[:, 0] & is_there[:, 1]
        perhaps = np.flatnonzero(self.several[ports] & ~found)
        if len(perhaps):
            keys = [words[perhaps, _LOCAL], words[perhaps, _LOCAL + 1], ports[perhaps].astype(np.uint64)]
            order, starts = _groups(keys, _hashes(keys))
            first = perhaps[order[starts]]
            is_ours = [
                (address.tobytes(), port) in self.ends
                for address, port in zip(table["local"][first], ports[first].tolist(), strict=True)
            ]
            found[perhaps[order]] = np.repeat(is_ours, np.diff(starts, append=len(order)))
        return found


def _folded(table: Sockets, is_server: NDArray[np.bool_], facts: PortFacts | None) -> tuple[Pairs, Rows]:
    """A table of connected sockets, at most 2**_PLACE_BITS: its pairs, and a row for each socket."""
    keys = list(_keys(table, is_server))
    hashes = _hashes(keys)
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
        rows["is_reusable"] = is_reusable(table, facts)
    return part, rows


def _age_s(expires_ms: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (TIME_WAIT_MS - np.minimum(expires_ms, TIME_WAIT_MS)) // 1000


def _keys(table: Sockets, is_server: NDArray[np.bool_]) -> Iterator[NDArray[np.uint64]]:
    """_WORDS columns; of an accepted socket the far end is the source."""
    words = _words(table)
    for near, far in itertools.pairwise((_LOCAL, _REMOTE, _LOCAL)):
        for half in range(2):
            yield np.where(is_server, words[:, far + half], words[:, near + half])
    yield np.where(is_server, table["local_port"], table["remote_port"]).astype(np.uint64) << _ONE | is_server


def _words(table: Sockets) -> NDArray[np.uint64]:
    return np.ascontiguousarray(table).view(np.uint64).reshape(-1, _SOCKET_WORDS)


def _hashes(keys: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Of each row the words, mixed one after the other."""
    hashes = np.zeros(len(keys[0]), np.uint64)
    for column, multiplier in zip(keys, _MULTIPLIERS, strict=False):
        hashes ^= column
        hashes *= multiplier
        hashes ^= hashes >> _SHIFT
    return hashes


def _groups(keys: Sequence[NDArray[np.uint64]], hashes: NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """(an order in which equal rows are neighbours, where in it each group starts)

    A number is sorted much faster than its place in the order is found, so each hash carries its place in its last
    bits. Where two rows have the same other bits and differ, a group may come in pieces.
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
    return np.flatnonzero(np.concatenate((np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1])))


def _merged(parts: list[Pairs]) -> Pairs:
    """Each pair once, its counts added up, sorted by hash. Raises HashCollisionError."""
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
    """The rows whose pair is among these, by its number. own: the hash of each of the table's pairs"""
    if not len(hashes):
        return rows[:0]
    numbers = np.minimum(np.searchsorted(hashes, own), len(hashes) - 1)
    ours = hashes[numbers] == own
    if not ours.all():
        rows = rows[ours[rows["pair"]]]
    rows["pair"] = numbers[rows["pair"]]
    return rows
