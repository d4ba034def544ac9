"""A small /proc tree, written by hand: for tests of one file at a time."""

from pathlib import Path

GOOD = {
    "sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "sys/net/ipv4/ip_local_reserved_ports": "33000-33009,40000\n",
    "meminfo": "MemTotal: 1000 kB\nMemFree: 200 kB\nCached:    50 kB\nShmem:  20 kB\nHugePages_Total:   0\n",
    "thread-self/net/netstat": "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 17\nIpExt: InOctets\nIpExt: 9\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        root.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(name).write_text(text)
    return root
