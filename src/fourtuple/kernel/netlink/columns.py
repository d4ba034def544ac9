"""Netlink answers by column: where the messages of many datagrams begin, and one attribute of all of them at once.

All headers of an answer carry the sequence number of the request, which is chosen at random. So one search for that
number finds all headers at once, and the result is right if each message ends where the next one begins. Otherwise the
messages are walked one by one.
"""

import numpy as np
from numpy.typing import NDArray

from fourtuple.kernel.netlink import wire

# In 32-bit words; netlink aligns everything to them
HEADER_WORDS = wire.HEADER.size // 4

Words = NDArray[np.uint32]
Places = range | NDArray[np.intp]  # a range if they are evenly spaced, whose words are then views and no copies


def headers(data: wire.Bytes) -> tuple[Words, Places]:
    """The bytes as 32-bit words, and the indices of the words at which messages begin. Raises BrokenMessageError."""
    padded = data if len(data) % 4 == 0 else bytes(data) + bytes(-len(data) % 4)
    words = np.frombuffer(padded, np.uint32)
    if padded is data and len(words) >= HEADER_WORDS and words[0] >= wire.HEADER.size:
        size = int(words[0]) + 3 >> 2
        even = range(0, len(words), size)
        if len(words) % size == 0 and (column(words, even, 0) == words[0]).all():
            return words, even
        starts = np.flatnonzero(words[2:] == words[2])
        lengths = words[starts]
        ends = starts + (lengths + 3 >> 2)
        lie_end_to_end = starts[0] == 0 and ends[-1] == len(words) and np.array_equal(starts[1:], ends[:-1])
        if lie_end_to_end and lengths.min() >= wire.HEADER.size:
            return words, starts
    return words, np.array([offset // 4 for offset in wire.offsets(data)], np.intp)


def column(words: Words, starts: Places, offset: int) -> Words:
    """(messages,): the word of each message that is `offset` words behind its start."""
    if isinstance(starts, range):
        return words[offset + starts.start : starts.stop : starts.step]
    return words[starts + offset]


def rows(words: Words, starts: Places, offset: int, size: int) -> Words:
    """(messages, size), a copy: so many words of each message, from `offset` words behind its start."""
    if not len(starts):
        return np.zeros((0, size), np.uint32)
    if isinstance(starts, range):
        return words.reshape(-1, starts.step)[:, offset : offset + size].copy()
    windows = np.ndarray((len(words) - size + 1, size), np.uint32, words, 0, (4, 4))  # one begins at each word
    return windows[starts + offset]


def of_kinds(data: wire.Bytes, kinds: tuple[int, ...], least_bytes: int, source: str) -> tuple[Words, Places, bool]:
    """The messages of these kinds.

    least_bytes: the minimum length of each, including its header
    source:      a name for error texts, such as `sock_diag`

    → the bytes as words, the indices of the words at which these messages begin, whether the dump ends here

    Raises OSError with the kernel's errno, DumpInterruptedError, BrokenMessageError.
    """
    words, starts = headers(data)
    kinds_and_flags, done = column(words, starts, 1), False
    found, flags = kinds_and_flags & 0xFFFF, kinds_and_flags >> 16
    wanted = found == kinds[0]
    for kind in kinds[1:]:
        wanted |= found == kind
    for number in np.flatnonzero(~wanted).tolist():
        start, kind = 4 * int(starts[number]), int(found[number])
        if wire.ends_dump(kind, data[start + wire.HEADER.size : start + int(words[start // 4])], source):
            wanted[number:] = False
            done = True
            break
    wire.check_whole(int(np.bitwise_or.reduce(flags)) if len(flags) else 0)
    if not wanted.all():
        starts = np.asarray(starts)[wanted]
    if len(starts) and (least := int(column(words, starts, 0).min())) < least_bytes:
        raise wire.BrokenMessageError(f"a {source} message of {least} bytes, at least {least_bytes} needed")
    return words, starts, done


def attribute(words: Words, starts: Places, behind: int, kind: int, word: int) -> tuple[NDArray[np.intp], Words]:
    """Find an attribute in all messages → (which messages have it, one word of its value in each); see rtnetlink(7).

    starts: where the messages begin, in words
    behind: where attributes begin, in words from the start of a message
    kind:   the attribute's type
    word:   which word of its value

    Most messages have the same attributes in the same order, so all that are laid out like the first one are handled
    together.
    """
    found, values = [np.zeros(0, np.intp)], [np.zeros(0, np.uint32)]
    left = np.arange(len(starts))
    while len(left):
        alike, offset = _first_layout(words, starts, behind, kind, word)
        if offset:
            found.append(left[alike])
            values.append(column(words, starts if alike.all() else np.asarray(starts)[alike], offset))
        if alike.all():
            break
        left, starts = left[~alike], np.asarray(starts)[~alike]
    return np.concatenate(found), np.concatenate(values)


def _first_layout(
    words: Words, starts: Places, behind: int, kind: int, word: int
) -> tuple[NDArray[np.bool_], int | None]:
    """(which messages are laid out like the first one, where the word is in them; None: it is not in them)

    Arguments are as in `attribute`.
    """
    length = int(words[starts[0]])
    alike, offset = column(words, starts, 0) == length, behind
    while 4 * offset + 4 <= length:
        if isinstance(starts, range):
            here = column(words, starts, offset)
        else:  # behind a shorter message there may be no such word
            here = words[np.minimum(starts + offset, len(words) - 1)]
        header = int(here[0])
        alike &= here == header
        size, is_kind = header & 0xFFFF, header >> 16 == kind
        if is_kind and size > 4 * (word + 1) and 4 * (offset + 2 + word) <= length + 3:
            return alike, offset + 1 + word
        offset += max(1, size + 3 >> 2)
    return alike, None
