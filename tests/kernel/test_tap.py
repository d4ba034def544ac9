"""Packets read from a ring that the kernel fills: their number is compared with connections that the test makes."""

import json
import shutil
import socket
import struct
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from fourtuple.core.check.timeline import FIN, SYN
from fourtuple.kernel.tap import FRAME, FRAME_BYTES, parse_frames
from tests.conftest import Ground, need

OFFSET = 80  # where the kernel puts the IPv4 header, say


def frame(header_words: int = 5, flags: int = SYN) -> NDArray[np.void]:
    """10.0.0.4:40000 → 10.0.0.9:80"""
    ends = bytes([10, 0, 0, 4]), bytes([10, 0, 0, 9])
    ip = struct.pack(">BBHHHBBH4s4s", 0x40 | header_words, 0, 60, 1, 0, 64, socket.IPPROTO_TCP, 0, *ends)
    tcp = struct.pack(">HHIIBBHHH", 40000, 80, 1, 2, 0x50, flags, 1024, 0, 0)
    content = ip + bytes(4 * (header_words - 5)) + tcp
    row = np.zeros(1, FRAME)
    row["net"] = OFFSET
    row.view(np.uint8)[OFFSET : OFFSET + len(content)] = np.frombuffer(content, np.uint8)
    return row


@pytest.mark.parametrize("header_words", [5, 6, 15])
def test_a_packet_is_found_behind_any_ip_header(header_words: int) -> None:
    """Options make it up to 60 bytes long."""

    (packet,) = parse_frames(frame(header_words, SYN | FIN)).tolist()
    assert packet == (0x0A000004, 0x0A000009, 40000, 80, SYN | FIN)


def test_frames_are_as_long_as_the_ring_says() -> None:
    assert FRAME.itemsize == FRAME_BYTES
    assert len(parse_frames(np.zeros(0, FRAME))) == 0


CODE = """
import json, socket
from fourtuple.core.check.timeline import Timeline
from fourtuple.kernel.tap import FRAMES, Tap
server = socket.create_server(("127.0.0.1", 8001), backlog=4096)
timeline = Timeline([(0x7F000001, 8001)])
with Tap("lo") as tap:
    looks = 0
    for _ in range(300):
        held = [socket.create_connection(("127.0.0.1", 8001)) for _ in range(23)]
        for sock in held:
            sock.close()
            server.accept()[0].close()
        packets = tap.read()
        looks += len(packets)
        timeline.see(packets)
    print(json.dumps([sum(timeline.opened), len(timeline.most), timeline.closed_first, tap.lost(), looks > FRAMES]))
"""


def test_all_are_seen_however_often_the_ring_goes_round(ground: Ground) -> None:
    """23 at a time, 300 times: more packets than the ring has frames, and none is missed."""

    assert json.loads(ground.python(CODE)) == [6900, 23, 6900, 0, True]


def test_what_is_no_tcp_is_not_kept(ground: Ground) -> None:
    """UDP, and TCP without SYN, FIN or RST."""

    code = """
import socket
from fourtuple.kernel.tap import Tap
server = socket.create_server(("127.0.0.1", 8001))
near = socket.create_connection(("127.0.0.1", 8001)); far, _ = server.accept()
with Tap("lo") as tap:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
    near.send(b"x"); far.recv(1)
    print(len(tap.read()))
"""
    assert ground.python(code) == "0\n"


def test_who_may_not_tap_is_told(ground: Ground) -> None:
    """Without CAP_NET_RAW."""

    code = """
from fourtuple.core.errors import CannotError
from fourtuple.kernel.tap import Tap
try:
    Tap("lo")
except CannotError as error:
    print(error.stopped_by)
"""
    need(shutil.which("setpriv"), "setpriv")
    done = ground.run("setpriv", "--bounding-set", "-net_raw", sys.executable, "-c", code)
    assert "not permitted" in done.stdout
