"""How WebSocket frames are made and recognized: for one connection, and for many at once as columns (RFC 6455, 5).

A column holds one row of bytes per connection. What these functions recognize is a frame that nothing can be said
against; every other row is left to the session of its connection, which says what is wrong.
"""

import os
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from wsproto.frame_protocol import Opcode

FINAL, MASKED = 0x80, 0x80
SHORT_BYTES = 125  # the longest payload whose length is in the second byte
MEDIUM, LONG = 126, 127  # the length is in two or eight bytes that follow
_MASK_BYTES = 4
_ASCII = 0x80  # bytes below are UTF-8 by themselves


def head_of(opcode: int, size: int, *, masked: bool) -> bytes:
    """The bytes of a whole message's frame that come before its mask or its payload of `size` bytes."""
    first, mask = FINAL | opcode, MASKED if masked else 0
    if size <= SHORT_BYTES:
        return bytes((first, mask | size))
    if size < 1 << 16:
        return struct.pack("!BBH", first, mask | MEDIUM, size)
    return struct.pack("!BBQ", first, mask | LONG, size)


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """A whole message in one frame; `masked` as a client has to, with a mask that nobody can predict (5.3)."""
    head = head_of(opcode, len(payload), masked=masked)
    if not masked:
        return head + payload
    mask, size = os.urandom(_MASK_BYTES), len(payload)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (size // _MASK_BYTES + 1))[:size], "big")
    return head + mask + mixed.to_bytes(size, "big")


def frames(
    payload: bytes | NDArray[np.uint8],
    count: int,
    random: Callable[[int], bytes] = os.urandom,
    *,
    opcode: int = Opcode.TEXT,
) -> NDArray[np.uint8]:
    """Frames of a client → (count, bytes) uint8, each with a mask of its own.

    payload: the same for each of them, or (count, bytes) uint8
    random:  n → n bytes that nobody can predict (5.3)
    """
    body = np.frombuffer(payload, np.uint8) if isinstance(payload, bytes) else payload
    size = body.shape[-1]
    head = np.frombuffer(head_of(opcode, size, masked=True), np.uint8)
    at = len(head) + _MASK_BYTES
    made = np.empty((count, at + size), np.uint8)
    made[:, : len(head)] = head
    made[:, len(head) : at] = masks = _masks(count, random)
    np.bitwise_xor(body, _repeated(masks, size), out=made[:, at:])
    return made


def whole_frames(data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The opcode of each row that is exactly one frame of a server, with a whole message; 0: of every other row.

    data: (rows, bytes) uint8, of which the first sizes[i] count
    → (rows,) uint8: TEXT (in ASCII only), BINARY, PING, PONG or 0
    """
    opcodes, begins = _whole(data, sizes, masked=False)
    text = opcodes == Opcode.TEXT
    if text.any():
        opcodes[text] *= _is_ascii(data[text], begins[text], sizes[text])
    return opcodes


def is_whole_message(data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which rows hold exactly one message of a server in one frame; text only if it is ASCII → (rows,) bool."""
    return np.isin(whole_frames(data, sizes), [Opcode.TEXT, Opcode.BINARY])


def payload_of(message: bytes) -> bytes:
    """What a message says that `is_whole_message` has found."""
    return message[2 if len(message) <= 2 + SHORT_BYTES else 4 :]


def pongs(
    data: NDArray[np.uint8], sizes: NDArray[np.int32], random: Callable[[int], bytes] = os.urandom
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A client's answers to rows that `whole_frames` says are pings → (rows, bytes) uint8, and how many bytes count."""
    width = int(sizes.max(initial=2)) - 2
    made = np.empty((len(data), 2 + _MASK_BYTES + width), np.uint8)
    made[:, 0] = FINAL | Opcode.PONG
    made[:, 1] = MASKED | data[:, 1]
    made[:, 2 : 2 + _MASK_BYTES] = masks = _masks(len(data), random)
    np.bitwise_xor(data[:, 2 : 2 + width], _repeated(masks, width), out=made[:, 2 + _MASK_BYTES :])
    return made, sizes + np.int32(_MASK_BYTES)


def echoes(
    data: NDArray[np.uint8], sizes: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]:
    """A server's answers to rows that are exactly one frame of a client, with a whole message: the same, or a pong.

    → (rows,) opcodes as of `whole_frames`, (rows, bytes) uint8, and how many bytes of it count: none for a pong
    """
    opcodes, begins = _whole(data, sizes, masked=True)
    made = np.zeros_like(data)
    answers = np.where((opcodes > 0) & (opcodes != Opcode.PONG), sizes - np.int32(_MASK_BYTES), np.int32(0))
    for at in (2, 4):  # where the mask begins
        rows = np.flatnonzero((opcodes > 0) & (begins == at + _MASK_BYTES))
        if not len(rows):
            continue
        body = data[rows, at + _MASK_BYTES : int(sizes[rows].max())]
        body = body ^ _repeated(data[rows, at : at + _MASK_BYTES], body.shape[1])
        made[rows, :at] = data[rows, :at]
        made[rows, at : at + body.shape[1]] = body
    made[:, 1] &= ~np.uint8(MASKED)
    made[opcodes == Opcode.PING, 0] = FINAL | Opcode.PONG
    text = opcodes == Opcode.TEXT
    if text.any():
        opcodes[text] *= _is_ascii(made[text], begins[text] - _MASK_BYTES, answers[text])
    return opcodes, made, np.where(opcodes > 0, answers, np.int32(0))


def _whole(
    data: NDArray[np.uint8], sizes: NDArray[np.int32], *, masked: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The opcode of each row that is exactly one frame, and where its payload begins; text is not looked into."""
    width, extra = int(sizes.max(initial=0)), np.int32(_MASK_BYTES if masked else 0)
    if width < 2:
        return np.zeros(len(sizes), np.uint8), np.zeros(len(sizes), np.int32)
    first, length = data[:, 0], data[:, 1].astype(np.int32) - (MASKED if masked else 0)
    opcodes = first & 0x0F
    short = (length >= 0) & (length <= SHORT_BYTES) & (sizes == length + 2 + extra)
    medium = np.zeros_like(short)
    if width >= 4:
        size = data[:, 2].astype(np.int32) << 8 | data[:, 3]
        medium = (length == MEDIUM) & (size > SHORT_BYTES) & (sizes == size + 4 + extra) & (opcodes <= Opcode.BINARY)
    known = np.isin(first, [FINAL | each for each in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG)])
    found: NDArray[np.uint8] = np.where(known & (short | medium), opcodes, np.uint8(0))
    return found, np.where(medium, np.int32(4), np.int32(2)) + extra


def _masks(count: int, random: Callable[[int], bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(random(_MASK_BYTES * count), np.uint8).reshape(count, _MASK_BYTES)


def _repeated(masks: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return masks[:, np.arange(size) % _MASK_BYTES]


def _is_ascii(data: NDArray[np.uint8], begins: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether the bytes of each row from begins[i] to ends[i] are ASCII."""
    columns = np.arange(int(ends.max(initial=0)))
    counts = (columns >= begins[:, None]) & (columns < ends[:, None])
    ascii_only: NDArray[np.bool_] = np.logical_and.reduce((data[:, : len(columns)] < _ASCII) | ~counts, axis=1)
    return ascii_only
