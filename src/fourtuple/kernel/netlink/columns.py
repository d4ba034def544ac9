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
Places = NDArray[np.intp]


def headers(data: wire.Bytes) -> tuple[Words, Places]:
    """The bytes as 32-bit words, and the indices of the words at which messages begin. Raises BrokenMessageError."""
    padded = data if len(data) % 4 == 0 else bytes(data) + bytes(-len(data) % 4)
    words = np.frombuffer(padded, np.uint32)
    if padded is data and len(words) >= HEADER_WORDS:
        starts = np.flatnonzero(words[2:] == words[2])
        lengths = words[starts]
        ends = starts + (lengths + 3 >> 2)
        lie_end_to_end = starts[0] == 0 and ends[-1] == len(words) and np.array_equal(starts[1:], ends[:-1])
        if lie_end_to_end and lengths.min() >= wire.HEADER.size:
            return words, starts
    return words, np.array([offset // 4 for offset in wire.offsets(data)], np.intp)


def of_kinds(data: wire.Bytes, kinds: tuple[int, ...], least_bytes: int, source: str) -> tuple[Words, Places, bool]:
    """The messages of these kinds.

    least_bytes: the minimum length of each, including its header
    source:      a name for error texts, such as `sock_diag`

    → the bytes as words, the indices of the words at which these messages begin, whether the dump ends here

    Raises OSError with the kernel's errno, DumpInterruptedError, BrokenMessageError.
    """
    words, starts = headers(data)
    found, flags = words[starts + 1] & 0xFFFF, words[starts + 1] >> 16
    wanted, done = found == kinds[0], False
    for kind in kinds[1:]:
        wanted |= found == kind
    for number in np.flatnonzero(~wanted).tolist():
        start, kind = 4 * int(starts[number]), int(found[number])
        if wire.ends_dump(kind, data[start + wire.HEADER.size : start + int(words[start // 4])], source):
            wanted[number:] = False
            done = True
            break
    wire.check_whole(int(np.bitwise_or.reduce(flags)) if len(flags) else 0)
    starts = starts[wanted]
    if len(starts) and (least := int(words[starts].min())) < least_bytes:
        raise wire.BrokenMessageError(f"a {source} message of {least} bytes, at least {least_bytes} needed")
    return words, starts, done


def attribute(words: Words, starts: Places, behind: int, kind: int, word: int) -> tuple[Places, Words]:
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
        first = starts[left[0]]
        length = words[first]
        alike, offset = words[starts[left]] == length, behind
        while 4 * offset + 4 <= length:
            rows = left[alike]
            header = int(words[first + offset])
            alike[alike] = words[starts[rows] + offset] == header
            size, is_kind = header & 0xFFFF, header >> 16 == kind
            if is_kind and size >= 4 * (word + 1) + 2 and 4 * (offset + 2 + word) <= length + 3:
                rows = left[alike]
                found.append(rows)
                values.append(words[starts[rows] + offset + 1 + word])
                break
            offset += max(1, size + 3 >> 2)
        left = left[~alike]
    return np.concatenate(found), np.concatenate(values)
