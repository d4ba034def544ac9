"""Memory that this machine has touched before, let go of as the kernel takes it.

python -m bench.warming BYTES KEPT_BYTES: it touches BYTES, lets all but KEPT_BYTES go, says `touched`, and then lets go
of the rest piece by piece, so that AHEAD_BYTES more are free than when it began; until it is killed. An ordinary
user may have less in pipes (fs.pipe-user-pages-soft), and it touches only that.

A page that the guest of a virtual machine touches for the first time, or for the first time since the host took it
back, costs many times what the kernel then does with it: opening seems to slow down as memory fills. A host takes back
what is free for some seconds (Documentation/mm/free_page_reporting.rst), so memory is kept until it is needed.
Pipes have pages that cannot be moved, as sockets have: the kernel takes those from where such pages were before.
"""

import fcntl
import os
import sys
import time

from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.kernel import process
from fourtuple.kernel.proc.files import PROC, whole
from fourtuple.kernel.proc.meminfo import parse_meminfo

PIECE_BYTES = 2**20  # fs.pipe-max-size
AHEAD_BYTES = 2**28
LOOK_S = 0.01


Pipe = tuple[int, int]


def filled_pipes(count: int) -> list[Pipe]:
    """At most so many pipes, by their two ends, with PIECE_BYTES in each."""
    pipes: list[Pipe] = []
    for _ in range(min(count, (process.raise_soft_files()[1] - FILES_RESERVED) // 2)):
        reader, writer = os.pipe()
        pipes.append((reader, writer))
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIECE_BYTES)
        except PermissionError:
            break
        os.write(writer, bytes(PIECE_BYTES))
    return pipes


def let_go(pipe: Pipe) -> None:
    for end in pipe:
        os.close(end)


def free_bytes() -> int:
    return parse_meminfo(whole(PROC / "meminfo"))["MemFree"]


def main() -> None:
    size, kept = (int(each) // PIECE_BYTES for each in sys.argv[1:])
    pipes = filled_pipes(size)
    while len(pipes) > kept:
        let_go(pipes.pop())
    least_bytes = free_bytes() + AHEAD_BYTES
    print("touched", flush=True)
    while True:
        while pipes and free_bytes() < least_bytes:
            let_go(pipes.pop())
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
