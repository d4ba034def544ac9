"""Columns of packed addresses and of ports: which rows match, without a loop over the rows."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.table import MAPPED
from fourtuple.core.space.ranges import Ranges

Mask = NDArray[np.bool_]  # (65536,), one for each port
Numbers = NDArray[np.int64]
# Odd, of this process: nobody can choose addresses that collide.
MULTIPLIERS = [np.uint64(random.getrandbits(64) | 1) for _ in range(6)]
_SHIFT = np.uint64(32)
_MAPPED = np.frombuffer(MAPPED, np.uint32)


def is_ipv4(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """(n,): which of these packed addresses are IPv4 in its mapped form."""
    words = addresses[:, None].view(np.uint32)
    found: NDArray[np.bool_] = (words[:, 2] == _MAPPED[2]) & (words[:, 0] == 0) & (words[:, 1] == 0)
    return found


def words_of(addresses: NDArray[np.void]) -> NDArray[np.uint64]:
    """(n, 2): the more and the less significant half of each address."""
    return np.ascontiguousarray(addresses).view(">u8").reshape(-1, 2).astype(np.uint64)


def is_wildcard(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """(n,): which of these packed addresses are 0.0.0.0 or ::."""
    wildcards = (bytes(16), MAPPED + bytes(4))
    found: NDArray[np.bool_] = (addresses == np.void(wildcards[0])) | (addresses == np.void(wildcards[1]))
    return found


def port_mask(ports: NDArray[Any]) -> Mask:
    """(65536,): true for each of these ports."""
    mask = np.zeros(65536, bool)
    mask[ports] = True
    return mask


def within(ports: NDArray[np.uint16], ranges: Ranges) -> NDArray[np.bool_]:
    """(n,): which of these ports are in the ranges."""
    inside = np.zeros(len(ports), bool)
    for part in ranges.parts:
        inside |= (ports >= part.start) & (ports <= part.stop - 1)
    return inside


def among(addresses: NDArray[np.void], ranges: Ranges) -> NDArray[np.bool_]:
    """(n,): which of these packed addresses, as integers of their own IP version, are in the ranges."""
    inside: NDArray[np.bool_] = numbers_among(addresses, ranges) >= 0
    return inside


def numbers_among(addresses: NDArray[np.void], ranges: Ranges) -> NDArray[np.int64]:
    """(n,): `ranges.index` of each of these packed addresses, modulo 2**63; −1: not in the ranges."""
    words = words_of(addresses)
    is_mapped = is_ipv4(addresses)
    high, low = words[:, 0], np.where(is_mapped, words[:, 1] & 0xFFFFFFFF, words[:, 1])
    numbers = np.full(len(addresses), -1)
    mask, before = 2**64 - 1, 0
    for part in ranges.parts:
        first, last = part.start, part.stop - 1
        above = (high > first >> 64) | ((high == first >> 64) & (low >= first & mask))
        below = (high < last >> 64) | ((high == last >> 64) & (low <= last & mask))
        inside = above & below
        if inside.any():
            offset = low[inside] - np.uint64(first & mask)  # wraps at 2**64, as it should
            numbers[inside] = (offset + np.uint64(before & mask)) & np.uint64(2**63 - 1)
        before += part.stop - part.start
    return numbers


def distinct(*parts: NDArray[Any]) -> NDArray[Any]:
    """The different ones of these numbers, ascending, as np.unique() gives them, which imports numpy.ma (0.02 s)."""
    found = np.sort(np.concatenate(parts)) if len(parts) > 1 else np.sort(parts[0])
    is_first = np.ones(len(found), bool)
    is_first[1:] = found[1:] != found[:-1]
    different: NDArray[Any] = found[is_first]
    return different


def is_in(numbers: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,): which of these numbers are among the wanted ones, as np.isin() tells, which may import numpy.ma (0.02 s).

    wanted: ascending
    """
    if not len(wanted):
        return np.zeros(len(numbers), bool)
    found: NDArray[np.bool_] = wanted[np.minimum(np.searchsorted(wanted, numbers), len(wanted) - 1)] == numbers
    return found


def in_states(states: NDArray[np.uint8], wanted: Iterable[int]) -> NDArray[np.bool_]:
    """(n,): which sockets are in one of the wanted states. states: their column `state`"""
    is_wanted = np.zeros(256, bool)
    is_wanted[list(wanted)] = True
    return is_wanted.take(states)


def mixed(columns: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """(n,): a 64-bit hash of each row, mixed from at most five columns, one after the other."""
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column, multiplier in zip(columns, MULTIPLIERS, strict=False):
        hashes ^= column
        hashes *= multiplier
        hashes ^= hashes >> _SHIFT
    return hashes
