"""Memory that this machine has touched before, let go of in the measure in which the kernel takes it.

python -m bench.warming BYTES KEPT_BYTES: it touches BYTES, lets all but KEPT_BYTES go, says `touched`, and then lets go
of the rest piece by piece, so that AHEAD_BYTES more are free than when it began; until it is killed.

A page that the guest of a virtual machine touches for the first time, or for the first time since the host took it
back, costs many times what the kernel then does with it: opening seems to slow down as memory fills. A host takes back
what is free for some seconds (Documentation/mm/free_page_reporting.rst), so it does not suffice to have touched it.
Pipes have pages that cannot be moved, as sockets have: the kernel takes those from where such pages were before.
"""

import fcntl
import os
import sys
import time
from pathlib import Path

from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.kernel import process

PIECE_BYTES = 2**20  # fs.pipe-max-size
AHEAD_BYTES = 2**28
LOOK_S = 0.01


def filled_pipe() -> tuple[int, int]:
    """The two ends of a pipe with PIECE_BYTES in it."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIECE_BYTES)
    os.set_blocking(writer, False)
    os.write(writer, bytes(PIECE_BYTES))
    return reader, writer


def let_go(ends: tuple[int, int]) -> None:
    for end in ends:
        os.close(end)


def free_bytes() -> int:
    """MemFree, in the second line of /proc/meminfo."""
    return int(Path("/proc/meminfo").read_text().split()[4]) * 1024


def main() -> None:
    size, kept = (int(each) // PIECE_BYTES for each in sys.argv[1:])
    files = process.raise_soft_files()[1] - FILES_RESERVED
    pipes = [filled_pipe() for _ in range(min(size, files // 2))]
    for ends in pipes[kept:]:
        let_go(ends)
    del pipes[kept:]
    least_bytes = free_bytes() + AHEAD_BYTES
    print("touched", flush=True)
    while True:
        while pipes and free_bytes() < least_bytes:
            let_go(pipes.pop())
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
