"""A wire tapped: the packets that open and close TCP connections on one interface, through a ring the kernel fills.

The ring is memory that both share, TPACKET_V2 of packet(7), so nothing is lost while nobody looks, until it is full.
Sources: include/uapi/linux/if_packet.h, Documentation/networking/packet_mmap.rst (v6.18).
"""

import contextlib
import mmap
import socket
import struct
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.check.timeline import FIN, PACKET, RST, SYN, Packets
from fourtuple.core.errors import CannotError

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V2 = 263, 5, 6, 10, 1
SO_ATTACH_FILTER = 26
ETH_P_ALL = 3
TP_STATUS_KERNEL, TP_STATUS_USER = 0, 1
KEPT_BYTES = 96  # of a packet: an IPv4 header of up to 60, and the beginning of TCP's
FRAME_BYTES, FRAMES, BLOCK_BYTES = 256, 1 << 15, 1 << 16  # the ring: 8 MiB
FRAME = np.dtype(  # struct tpacket2_hdr
    [
        ("status", "u4"),
        ("length", "u4"),
        ("kept", "u4"),
        ("mac", "u2"),
        ("net", "u2"),
        ("rest", "u1", (FRAME_BYTES - 16,)),
    ]
)
# Classic BPF (struct sock_filter), over a packet that begins with its IPv4 header: is it TCP, with SYN, FIN or RST?
_FILTER = b"".join(
    struct.pack("=HBBI", *each)
    for each in (
        (0x30, 0, 0, 0),  # ldb [0]
        (0x54, 0, 0, 0xF0),  # and #0xf0
        (0x15, 0, 6, 0x40),  # jeq #0x40: IPv4
        (0x30, 0, 0, 9),  # ldb [9]
        (0x15, 0, 4, socket.IPPROTO_TCP),
        (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf)
        (0x50, 0, 0, 13),  # ldb [x + 13]
        (0x45, 0, 1, SYN | FIN | RST),  # jset
        (0x06, 0, 0, KEPT_BYTES),  # ret: keep so many bytes
        (0x06, 0, 0, 0),  # ret: drop it
    )
)


class Tap:
    """The packets of an interface of this namespace, both ways, from now on. Needs CAP_NET_RAW there.

    Raises CannotError where the kernel has no packet sockets, OSError where it refuses.
    """

    def __init__(self, interface: str) -> None:
        self._next = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        except OSError as error:
            raise CannotError("to follow a program's packets", f"{error.strerror}: CONFIG_PACKET") from None
        with contextlib.ExitStack() as on_error:
            on_error.callback(self._socket.close)
            code = np.frombuffer(_FILTER, np.uint8)
            self._socket.setsockopt(
                socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(_FILTER) // 8, code.ctypes.data)
            )
            self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("=i", TPACKET_V2))
            blocks = FRAMES * FRAME_BYTES // BLOCK_BYTES
            ring = struct.pack("=4I", BLOCK_BYTES, blocks, FRAME_BYTES, FRAMES)
            self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, ring)
            self._memory = mmap.mmap(self._socket.fileno(), FRAMES * FRAME_BYTES)
            self._frames: NDArray[np.void] = np.frombuffer(self._memory, FRAME)
            self._socket.bind((interface, ETH_P_ALL))
            on_error.pop_all()

    def read(self) -> Packets:
        """Those that came since the last time, in order."""
        parts = [np.zeros(0, PACKET)]
        while True:
            ready = self._frames["status"][self._next :] & TP_STATUS_USER == 0
            count = int(ready.argmax()) if ready.any() else len(ready)
            if not count:
                return np.concatenate(parts)
            frames = self._frames[self._next : self._next + count]
            parts.append(parse_frames(frames))
            frames["status"] = TP_STATUS_KERNEL
            self._next = (self._next + count) % FRAMES

    def lost(self) -> int:
        """How many packets found the ring full, since the last time somebody asked."""
        (_, drops) = struct.unpack("=II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return int(drops)

    def close(self) -> None:
        del self._frames
        with contextlib.suppress(BufferError):  # somebody still has an array of it
            self._memory.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def parse_frames(frames: NDArray[np.void]) -> Packets:
    """Frames of the ring, dtype FRAME → their packets."""
    packets = np.zeros(len(frames), PACKET)
    if not len(frames):
        return packets
    content = frames.view(np.uint8).reshape(len(frames), FRAME_BYTES)
    rows = np.arange(len(frames))
    ip = frames["net"].astype(np.int64)
    tcp = ip + 4 * (content[rows, ip] & 0xF)
    for name, start, offset in (
        ("source", ip, 12),
        ("destination", ip, 16),
        ("source_port", tcp, 0),
        ("destination_port", tcp, 2),
        ("flags", tcp, 13),
    ):
        size = PACKET[name].itemsize
        field = content[rows[:, None], start[:, None] + offset + np.arange(size)]
        packets[name] = np.ascontiguousarray(field).view(PACKET[name])[:, 0]
    return packets
