"""Write the datagrams that a kernel answers with to data/dump-*.bin: `python tests/kernel/netlink/record.py`.

In a private namespace: 23 connections to 127.0.0.1:8000, a listener on [::1]:8000, one TIME_WAIT, one bound socket.
Each file is one dump: a datagram after its length as four bytes, little-endian.
"""

import socket
import subprocess
import sys
from pathlib import Path

from fourtuple.core.sockets.table import State
from fourtuple.kernel.netlink.sockdiag import exchange, parse_datagram, request
from fourtuple.kernel.netns import Namespace

DATA = Path(__file__).with_name("data")
CONNECTIONS = 23


def dump(family: int) -> bytes:
    said = b""
    for data in exchange(request(family, State)):
        said += len(data).to_bytes(4, "little") + data
        if parse_datagram(data).done:
            break
    return said


def record() -> None:
    with socket.create_server(("127.0.0.1", 8000), backlog=64) as server:
        clients = [socket.create_connection(("127.0.0.1", 8000)) for _ in range(CONNECTIONS + 1)]
        accepted = [server.accept()[0] for _ in range(CONNECTIONS - 3)]
        clients.pop(0).close()
        accepted.pop(0).close()
        with socket.create_server(("::1", 8000), family=socket.AF_INET6), socket.socket() as bound:
            bound.bind(("127.0.0.1", 9000))
            DATA.joinpath("dump-ipv4.bin").write_bytes(dump(socket.AF_INET))
            DATA.joinpath("dump-ipv6.bin").write_bytes(dump(socket.AF_INET6))
            DATA.joinpath("net-tcp.txt").write_text(Path("/proc/self/net/tcp").read_text())
            DATA.joinpath("net-tcp6.txt").write_text(Path("/proc/self/net/tcp6").read_text())
        for sock in (*clients, *accepted):
            sock.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        record()
    else:
        with Namespace() as namespace:
            subprocess.run(namespace.command([sys.executable, __file__, "inside"]), check=True)
