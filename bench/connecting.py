"""What connect() costs a program: the standard library's beside ours, in one process, on an empty and on a full range.

Run inside of a lab: `python -m bench.connecting PORT ROUNDS`, with a server on 127.0.0.1:PORT that accepts.
"""

import json
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import partial

from bench.measure import alternate
from fourtuple.client.connecting import connect

LINGER_RESET = struct.pack("ii", 1, 0)
AT_ONCE, AT_ONCE_SLOW = 400, 60  # connections of a turn
HALF = 0.55  # of the range is in use then

Connect = Callable[[tuple[str, int]], socket.socket]


def took_us(open_one: Connect, end: tuple[str, int], count: int) -> float:
    """Of one, over `count` that are then reset, so that the range is as full as before."""
    start_ns = time.perf_counter_ns()
    held = [open_one(end) for _ in range(count)]
    took_ns = time.perf_counter_ns() - start_ns
    for sock in held:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        sock.close()
    return took_ns / count / 1000


def main(port: int, rounds: int) -> None:
    end = ("127.0.0.1", port)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = map(int, file.read().split())
    both: dict[str, Connect] = {"create_connection": socket.create_connection, "connect": connect}
    found = {}
    held: list[socket.socket] = []
    for name, fill, count in (("empty", 0.0, AT_ONCE), ("half", HALF, AT_ONCE_SLOW)):
        while len(held) < fill * (high - low):
            held.append(socket.create_connection(end))
        turns = {key: partial(took_us, each, end, count) for key, each in both.items()}
        alternate(turns, 1)  # once unmeasured
        found[name] = alternate(turns, rounds)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
