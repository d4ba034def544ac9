"""A relay on a machine of a fleet: a Dask actor that starts the machine's process and passes messages on.

Messages to the process are calls of the actor; what the process says becomes events of the scheduler. Dask never runs
an actor a second time. When it is released, or when its worker ends, the standard input of the process ends.
"""

import subprocess
import threading
import time
from contextlib import suppress
from typing import Any

from distributed import get_worker

from fourtuple.fleet.channel import framed, frames
from fourtuple.kernel.again import again


class Relay:
    """Starts the process of a machine.

    topic: of the events
    seat:  its number, which is part of each event
    """

    def __init__(self, topic: str, seat: int, name: str, address: str) -> None:
        command = again("fourtuple.fleet.engine", name, address)
        pipe = subprocess.PIPE
        # In a session of its own: Ctrl-C on the worker's terminal is the worker's matter.
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True)
        arguments = (self._process, get_worker(), topic, seat)
        threading.Thread(target=_pump, args=arguments, daemon=True).start()

    def write(self, message: bytes) -> None:
        """Pass a message to the process."""
        if self._process.stdin:
            with suppress(OSError, ValueError):  # it has ended, which is told as an event
                self._process.stdin.write(framed(message))
                self._process.stdin.flush()

    def clock_ns(self) -> int:
        """The machine's CLOCK_MONOTONIC."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def __del__(self) -> None:
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()


def _pump(process: "subprocess.Popen[bytes]", worker: Any, topic: str, seat: int) -> None:
    """Make an event of each message of the process, and of its end."""
    if process.stdout:
        for message in frames(process.stdout):
            worker.log_event(topic, (seat, message))
    worker.log_event(topic, (seat, process.wait()))
