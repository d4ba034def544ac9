"""A host of many network namespaces with sockets, and what `export --all-netns` takes to count them.

python -m bench.many scene NAMESPACES SOCKETS ENTRIES   make them, print `ready`, and hold them until stdin ends
python -m bench.many rounds N                           count N times, after a first time that looks for bound ports

ENTRIES: of the table of connections that each namespace has of its own; 0: all share that of the namespace in which
the scene runs
"""

import json
import os
import signal
import socket
import sys
from typing import NoReturn

from fourtuple.core.snapshot.rounds import Bounds, Round
from fourtuple.kernel.netns import set_loopback_up
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.syscalls import CLONE_NEWNET, setns, unshare
from fourtuple.verbs.export import rounds


def scene(namespaces: int, sockets: int, entries: int) -> None:
    """Each namespace has its share of connections to itself, and a process, which only waits."""
    write_sysctl("net.ipv4.tcp_child_ehash_entries", str(entries))
    handle = os.open("/proc/self/ns/net", os.O_RDONLY)
    reader, writer = os.pipe()
    children = []
    for number in range(namespaces):
        setns(handle, CLONE_NEWNET)
        unshare(CLONE_NEWNET)
        set_loopback_up()
        connections = sockets // 2 * (number + 1) // namespaces - sockets // 2 * number // namespaces
        if not (child := os.fork()):
            resident(connections, writer)
        children.append(child)
        os.read(reader, 1)
    print("ready", flush=True)
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def resident(connections: int, ready: int) -> NoReturn:
    """The process of one namespace: connected to itself, it waits for its end."""
    server = socket.create_server(("127.0.0.1", 80), backlog=4096)
    held = [server]
    for _ in range(connections):
        held += [socket.create_connection(("127.0.0.1", 80)), server.accept()[0]]
    os.write(ready, b"!")
    while True:
        signal.pause()


def measure(count: int) -> None:
    """Print what the first round takes, and the median of the others."""
    found = rounds(50, Bounds(500, 2000))
    taken = []
    for number in range(count + 1):
        counted = next(found)
        if not isinstance(counted, Round):
            raise SystemExit(counted.reason)
        taken.append((counted.took_s, counted.cpu_s, counted.namespaces, number))
    later = sorted(each[0] for each in taken[1:])
    cpu = sorted(each[1] for each in taken[1:])
    print(
        json.dumps(
            {
                "namespaces": taken[-1][2],
                "first_s": taken[0][0],
                "first_cpu_s": taken[0][1],
                "each_s": later[len(later) // 2],
                "each_cpu_s": cpu[len(cpu) // 2],
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "scene":
        scene(*map(int, sys.argv[2:]))
    else:
        measure(int(sys.argv[2]))
