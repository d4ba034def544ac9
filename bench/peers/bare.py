"""A client of nothing but ring entries: messages and their echoes, without anything that `hold` does beside that.

python -m bench.peers.bare CONNECTIONS IN_FLIGHT SECONDS ADDRESS PORT

It polls, reads and sends as `hold` does, a batch at a time, and neither checks, counts by connection nor closes: no
client over the same entries can be faster. Prints one JSON object, as echo_client.c does.
"""

import json
import select
import socket
import sys
import time

import numpy as np
from numpy.typing import NDArray

from bench.measure import NotMeasuredError
from fourtuple.engine.loops import entries
from fourtuple.engine.loops.entries import POLL_EVENTS, SEND_FLAGS
from fourtuple.kernel import process
from fourtuple.kernel.uring import Opcode, Sqes, features, new_ring

BYTES, ENTRIES, AT_ONCE = 32, 512, 1024
POLLED, READ, SENT = 1, 2, 3  # user_data: the connection in 32 bits, and one of these
Numbers = NDArray[np.int32]


class Client:
    def __init__(self, connections: int, address: tuple[str, int]) -> None:
        process.raise_soft_files()
        self._ring = new_ring(connections, ENTRIES, no_sqarray=features().no_sqarray, until_s=time.monotonic())
        self.waits = select.epoll()
        self.waits.register(self._ring.event_fd, select.EPOLLIN | select.EPOLLET)
        for slot in range(connections):
            with socket.create_connection(address) as sock:
                self._ring.install(slot, sock.fileno())
        self._message, self._answers = np.full(BYTES, 120, np.uint8), np.zeros((connections, BYTES), np.uint8)
        self.poll(np.arange(connections, dtype=np.int32))

    def poll(self, slots: Numbers) -> None:
        self._ring.submit(self._each(Opcode.POLL_ADD, POLLED, slots, POLL_EVENTS))

    def send(self, slots: Numbers) -> None:
        where = np.uint64(self._message.ctypes.data)
        self._ring.submit(self._each(Opcode.SEND, SENT, slots, SEND_FLAGS, where, BYTES))

    def read(self, slots: Numbers) -> None:
        where = np.uint64(self._answers.ctypes.data) + slots.astype(np.uint64) * np.uint64(BYTES)
        self._ring.submit(self._each(Opcode.RECV, READ, slots, socket.MSG_DONTWAIT, where, BYTES))

    def take(self) -> Numbers:
        """The connections that can be read; nothing else may have gone wrong."""
        done = self._ring.take()
        ends = done["user_data"]
        polled = ends >> np.uint64(32) == POLLED
        if not (polled | (done["res"] == BYTES)).all():
            raise NotMeasuredError("a connection has ended, or an answer came in pieces")
        taken: Numbers = ends[polled].astype(np.int32)
        return taken

    @staticmethod
    def _each(opcode: Opcode, what: int, slots: Numbers, flags: int, where: object = 0, size: int = 0) -> Sqes:
        tagged = np.uint64(what << 32)
        return entries.on_each(opcode, tagged, slots, slots.astype(np.int64), op_flags=flags, addr=where, length=size)


def main() -> None:
    connections, in_flight, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    client = Client(connections, (sys.argv[4], int(sys.argv[5])))
    ready, waiting, answers = np.arange(connections, dtype=np.int32), 0, 0
    start_s = time.monotonic()
    while time.monotonic() < start_s + seconds:
        count = min(in_flight - waiting, AT_ONCE)
        client.send(ready[:count])
        waiting, ready = waiting + len(ready[:count]), ready[count:]
        client.waits.poll(1)
        if not len(polled := client.take()):
            continue
        client.read(polled)
        client.poll(polled)
        answers, waiting, ready = answers + len(polled), waiting - len(polled), np.concatenate((ready, polled))
    user_us, system_us = process.cpu_us()
    rate = answers / (time.monotonic() - start_s)
    json.dump({"answers_per_s": rate, "cpu_user_s": user_us / 1e6, "cpu_system_s": system_us / 1e6}, sys.stdout)


if __name__ == "__main__":
    main()
