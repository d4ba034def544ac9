"""Capturing packets: those that open and close TCP connections on one interface, through a ring the kernel fills.

The ring is memory shared with the kernel (TPACKET_V2, packet(7)), so no packet is lost between reads until it is full.
Sources: include/uapi/linux/if_packet.h, Documentation/networking/packet_mmap.rst (v6.18).
"""

import contextlib
import mmap
import socket
import struct
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.check.timeline import FIN, PACKET, RST, SYN, Packets
from fourtuple.core.errors import CannotError

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V2 = 263, 5, 6, 10, 1
SO_ATTACH_FILTER = 26
ETH_P_ALL = 3
TP_STATUS_KERNEL, TP_STATUS_USER = 0, 1
KEPT_BYTES = 96  # per packet: an IPv4 header of up to 60 bytes, and the beginning of the TCP header
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
# Classic BPF (struct sock_filter) on a packet that begins with its IPv4 header: is it TCP with SYN, FIN or RST?
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
        (0x06, 0, 0, KEPT_BYTES),  # ret: keep KEPT_BYTES bytes
        (0x06, 0, 0, 0),  # ret: drop it
    )
)


class Tap:
    """Captures the packets of one interface of this namespace in both directions, from its creation on.

    Needs CAP_NET_RAW in the namespace. Raises CannotError if no packet socket can be created, OSError if the kernel
    refuses the ring or the interface.
    """

    def __init__(self, interface: str) -> None:
        self._next = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        except OSError as error:
            raise CannotError("packet capture", f"{error.strerror} (needs CAP_NET_RAW and CONFIG_PACKET)") from None
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
        """The packets that arrived since the last call, in order."""
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
        """How many packets were lost since the last call because the ring was full."""
        (_, drops) = struct.unpack("=II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return int(drops)

    def close(self) -> None:
        """Stop capturing, and release the ring."""
        del self._frames
        with contextlib.suppress(BufferError):  # an array over the ring is still in use
            self._memory.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def parse_frames(frames: NDArray[np.void]) -> Packets:
    """Convert frames of the ring (dtype FRAME) to packets (dtype PACKET)."""
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
