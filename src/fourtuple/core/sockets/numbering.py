"""Numbers for rows of 64-bit words, by column: equal rows have the same number, in whichever table they come.

A hash table with linear probing, whose steps are NumPy operations on all rows at once. A row that was seen before costs
a look into the table and a comparison with all its words, so hashes only decide where a row is looked for.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.columns import mixed

Column = NDArray[np.uint64]  # (n,), one word of each row
RowNumbers = NDArray[np.uint32]

SLOTS = 1 << 12  # at first
FEW = 1 << 8  # rows among which new ones are looked for first: tables have many rows of the same kind
_NO_WORD = np.uint64(2**64 - 1)


class HashCollisionError(Exception):
    """Two different rows have the same 64-bit hash.

    For a million rows the probability is about 1 in 10**7. Another process draws other multipliers.
    """


class Numbering:
    """The distinct rows that were added, numbered from 1. The first word of a row must be less than 2**64 - 1.

    Rows may have fewer words than `words`, if rows of different lengths differ in their first word.
    """

    def __init__(self, words: int) -> None:
        self.count = 0
        self._slots = np.zeros(SLOTS, np.uint32)  # the number of a row, at the place that its hash gives; 0: none
        self._words = np.zeros((words, SLOTS), np.uint64)  # those of row 0 stand for no row
        self._words[0, 0] = _NO_WORD
        self._hashes = np.zeros(SLOTS, np.uint64)

    @property
    def words(self) -> NDArray[np.uint64]:
        """(words, count): the rows in the order of their numbers."""
        return self._words[:, 1 : self.count + 1]

    @property
    def hashes(self) -> Column:
        """(count,): the hash of each row (columns.mixed)."""
        return self._hashes[1 : self.count + 1]

    def find(self, row: Sequence[Column]) -> RowNumbers:
        """(n,): the number of each row; 0: it was not added. row: the words, (n,) each"""
        return self._found(row, mixed(row))

    def add(self, row: Sequence[Column]) -> RowNumbers:
        """(n,): the number of each row, new or not. row: the words, (n,) each

        Raises HashCollisionError; two rows that are added by different calls are not compared.
        """
        hashes = mixed(row)
        numbers = self._found(row, hashes)
        new, few = np.flatnonzero(numbers == 0), FEW
        while len(new):
            some, new = new[:few], new[few:]
            numbers[some] = self._added([word[some] for word in row], hashes[some])
            numbers[new] = self._found([word[new] for word in row], hashes[new])
            new, few = new[numbers[new] == 0], 4 * few
        return numbers

    def _found(self, row: Sequence[Column], hashes: Column) -> RowNumbers:
        places = self._places(hashes)
        numbers = self._slots.take(places)
        left = np.flatnonzero(~self._same(row, numbers))
        while len(left := left[numbers[left] != 0]):
            places[left] = places[left] + 1 & len(self._slots) - 1
            numbers[left] = self._slots.take(places[left])
            left = left[~self._same([word[left] for word in row], numbers[left])]
        return numbers

    def _places(self, hashes: Column) -> NDArray[np.int64]:
        """(n,): where rows with these hashes are looked for first; the number of slots is a power of two."""
        return (hashes & np.uint64(len(self._slots) - 1)).view(np.int64)

    def _same(self, row: Sequence[Column], numbers: RowNumbers) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = row[0] == self._words[0].take(numbers)
        for word, known in zip(row[1:], self._words[1:], strict=False):
            same &= word == known.take(numbers)
        return same

    def _added(self, row: Sequence[Column], hashes: Column) -> RowNumbers:
        """The numbers of rows that are new, each distinct row once."""
        distinct, first, rank = np.unique(hashes, return_index=True, return_inverse=True)
        for word in row:
            if not np.array_equal(word, word[first][rank]):
                raise HashCollisionError
        own = np.arange(self.count + 1, self.count + 1 + len(distinct), dtype=np.uint32)
        self.count += len(distinct)
        if self.count >= len(self._hashes):
            more = max(len(self._hashes), len(distinct))
            self._hashes = np.pad(self._hashes, (0, more))
            self._words = np.pad(self._words, ((0, 0), (0, more)))
        self._hashes[own] = distinct
        for known, word in zip(self._words, row, strict=False):
            known[own] = word[first]
        slots = len(self._slots)
        while slots < 2 * self.count:
            slots *= 4
        if slots > len(self._slots):
            self._slots = np.zeros(slots, np.uint32)
            self._enter(np.arange(1, self.count + 1, dtype=np.uint32))
        else:
            self._enter(own)
        return own[rank]

    def _enter(self, numbers: RowNumbers) -> None:
        """Put these numbers into the slots; of several for one slot, all but one go on to the next."""
        places = self._places(self._hashes[numbers])
        while len(numbers):
            free = self._slots.take(places) == 0
            self._slots[places[free]] = numbers[free]
            left = self._slots.take(places) != numbers
            numbers, places = numbers[left], places[left] + 1 & len(self._slots) - 1
