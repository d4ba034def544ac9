"""Pasted output of tools, of several versions of each: what is read from it, whatever stands around it."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.limits.behaviours import BIND_RELEASED, KnownBy
from fourtuple.core.snapshot.coding import decode, encode
from fourtuple.core.snapshot.pastes.paste import paste
from fourtuple.core.snapshot.records import HostAddress, HostNamespace, HostRoute, Snapshot
from fourtuple.core.sockets.table import SOCK_DIAG, State, four_tuples

SS_S_OLD = """\
Total: 212 (kernel 240)
TCP:   125303 (estab 61, closed 125217, orphaned 12, synrecv 0, timewait 125217/0), ports 0

Transport Total     IP        IPv6
*         240       -         -
RAW       0         0         0
UDP       9         6         3
TCP       86        80        6
INET      95        86        9
FRAG      0         0         0
"""
SS_S_NEW = """\
Total: 212
TCP:   125303 (estab 61, closed 125217, orphaned 12, timewait 125217)

Transport Total     IP        IPv6
RAW\t  0         0         0
UDP\t  9         6         3
TCP\t  86        80        6
"""
SS_TAN = """\
State      Recv-Q Send-Q        Local Address:Port          Peer Address:Port
LISTEN     3      128                 0.0.0.0:8080               0.0.0.0:*
LISTEN     0      511                    [::]:443                   [::]:*
ESTAB      0      0                  10.0.0.4:40000            10.0.0.9:443
TIME-WAIT  0      0                  10.0.0.4:40001            10.0.0.9:443
CLOSE-WAIT 1      0        [::ffff:10.0.0.4]:8080    [::ffff:10.0.0.7]:51000
"""
SS_OLD = """\
State       Recv-Q Send-Q Local Address:Port               Peer Address:Port
LISTEN      3      128          *:8080                     *:*                   users:(("node",812,11))
LISTEN      0      511         :::443                     :::*                   users:(("nginx",7,6),("nginx",8,6))
ESTAB       0      0      10.0.0.4:40000              10.0.0.9:https               users:(("node",812,15))
TIME-WAIT   0      0      10.0.0.4:40001              10.0.0.9:443                timer:(timewait,43sec,0)
CLOSE-WAIT  1      0      ::ffff:10.0.0.4:8080               ::ffff:10.0.0.7:51000   users:(("node",812,16))
"""
SS_ALL = """\
Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process
nl    UNCONN 0      0                  0:812              *
u_str LISTEN 0      128 /run/x.sock 30211 * 0
udp   UNCONN 0      0          127.0.0.53%lo:53         0.0.0.0:*
tcp   LISTEN 3      128              0.0.0.0:8080       0.0.0.0:*    users:(("node",pid=812,fd=11)) uid:33 ino:1 sk:2
\t cubic cwnd:10
tcp   LISTEN 0      511                    *:443              *:*    users:(("nginx",pid=7,fd=6)) ino:3 sk:4 v6only:0
tcp   ESTAB  0      0         10.0.0.4:40000     10.0.0.9:443  timer:(keepalive,20sec,0) users:(("node",pid=812,fd=5))
\t cubic wscale:7,7 rto:204 rtt:1.5/0.75 mss:1448 cwnd:10
tcp   TIME-WAIT 0   0               10.0.0.4:40001     10.0.0.9:443  timer:(timewait,43sec,0) ino:0 sk:5
tcp   CLOSE-WAIT 1  0      [::ffff:10.0.0.4]:8080 [::ffff:10.0.0.7]:51000 users:(("node",pid=812,fd=16))
"""
NETSTAT = """\
Active Internet connections (servers and established)
Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name
tcp        3      0 0.0.0.0:8080            0.0.0.0:*               LISTEN      812/node
tcp6       0      0 :::443                  :::*                    LISTEN      7/nginx: master
tcp        0      0 10.0.0.4:40000          10.0.0.9:443            ESTABLISHED 812/node
tcp        0      0 10.0.0.4:40001          10.0.0.9:443            TIME_WAIT   -
tcp6       1      0 10.0.0.4:8080           10.0.0.7:51000          CLOSE_WAIT  812/node
udp        0      0 127.0.0.53:53           0.0.0.0:*                           401/systemd-resolve
Active UNIX domain sockets (servers and established)
Proto RefCnt Flags       Type       State         I-Node   Path
unix  2      [ ACC ]     STREAM     LISTENING     20211    /run/x.sock
"""
NETSTAT_TIMERS = """\
tcp   3  0 0.0.0.0:8080    0.0.0.0:*        LISTEN      33  1001  812/node   off (0.00/0/0)
tcp6  0  0 :::443          :::*             LISTEN      0   1002  7/nginx    off (0.00/0/0)
tcp   0  0 10.0.0.4:40000  10.0.0.9:443     ESTABLISHED 33  1003  812/node   keepalive (20.10/0/0)
tcp   0  0 10.0.0.4:40001  10.0.0.9:443     TIME_WAIT   0   0     -          timewait (43.00/0/0)
tcp6  1  0 10.0.0.4:8080   10.0.0.7:51000   CLOSE_WAIT  33  1004  812/node   off (0.00/0/0)
"""
NETSTAT_S = """\
Ip:
    69972538 total packets received
    0 forwarded
Icmp:
    4 ICMP messages received
    ICMP input histogram:
        destination unreachable: 4
Tcp:
    7111228 active connections openings
    71 failed connection attempts
    61 connections established
    2164 segments retransmited
Udp:
    5 packet receive errors
TcpExt:
    265718 TCP sockets finished time wait in fast timer
    3379 times the listen queue of a socket overflowed
    3380 SYNs to LISTEN sockets dropped
    TCP ran low on memory 4 times
    TCPBacklogDrop: 9
    TCPTimeWaitOverflow: 15
IpExt:
    InOctets: 25384999360
"""
NETSTAT_S_NEW = NETSTAT_S.replace("connections openings", "connection openings").replace(
    "retransmited", "retransmitted"
)
NSTAT = """\
#kernel
TcpActiveOpens                  7111228            0.0
TcpAttemptFails                 71                 0.0
TcpCurrEstab                    61                 0.0
TcpRetransSegs                  2164               0.0
TcpExtTW                        265718             0.0
TcpExtListenOverflows           3379               0.0
TcpExtListenDrops               3380               0.0
TcpExtTCPMemoryPressures        4                  0.0
TcpExtTCPBacklogDrop            9                  0.0
TcpExtTCPTimeWaitOverflow       15                 0.0
"""
PROC_NET = """\
Tcp: RtoAlgorithm MaxConn ActiveOpens AttemptFails CurrEstab RetransSegs
Tcp: 1 -1 7111228 71 61 2164
TcpExt: TW ListenOverflows ListenDrops TCPMemoryPressures TCPBacklogDrop TCPTimeWaitOverflow
TcpExt: 265718 3379 3380 4 9 15
"""
COUNTERS = {
    "ActiveOpens": 7_111_228,
    "AttemptFails": 71,
    "CurrEstab": 61,
    "RetransSegs": 2164,
    "TW": 265_718,
    "ListenOverflows": 3379,
    "ListenDrops": 3380,
    "TCPMemoryPressures": 4,
    "TCPBacklogDrop": 9,
    "TCPTimeWaitOverflow": 15,
}
SOCKSTAT = """\
sockets: used 1021
TCP: inuse 80 orphan 12 tw 125217 alloc 98 mem 23
UDP: inuse 6 mem 3
FRAG: inuse 0 memory 0
TCP6: inuse 6
"""
CONNTRACK_OLD = """\
cpu=0  searched=1 found=3 new=0 invalid=7 delete_list=0 insert=0 insert_failed=5 drop=4 early_drop=1 error=0
cpu=1  searched=1 found=3 new=0 invalid=7 delete_list=0 insert=0 insert_failed=6 drop=0 early_drop=1 error=0
"""
CONNTRACK_NEW = """\
cpu=0   \tfound=3 invalid=7 insert=0 insert_failed=5 drop=4 early_drop=1 error=0 search_restart=9 clash_resolve=0
cpu=1   \tfound=3 invalid=7 insert=0 insert_failed=6 drop=0 early_drop=1 error=0 search_restart=9 clash_resolve=0
"""
ETHTOOL = """\
NIC statistics:
     tx_timeout: 0
     queue_0_tx_cnt: 812
     bw_in_allowance_exceeded: 0
     conntrack_allowance_exceeded: 77
     [0]: rx_ucast_packets: 5
"""
IP_LINK = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    RX: bytes  packets  errors  dropped overrun mcast
    100        10       0       0       0       0
    TX: bytes  packets  errors  dropped carrier collsns
    100        10       0       0       0       0
2: eth0@if5: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff
    RX:  bytes packets errors dropped  missed   mcast
         99999     999      1       2       3       0
    TX:  bytes packets errors dropped carrier collsns
         99999     999      4       5       6       0
"""
IP_ADDR = """\
2: eth0@if5: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff
    inet 10.0.0.4/24 brd 10.0.0.255 scope global dynamic eth0
       valid_lft 85000sec preferred_lft 85000sec
    inet6 fd00::4/64 scope global tentative dadfailed
       valid_lft forever preferred_lft forever
"""
IP_ROUTE = """\
default via 10.0.0.1 dev eth0 proto dhcp src 10.0.0.4 metric 100
10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.4
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 linkdown
unreachable 10.9.0.0/16
default via fd00::1 dev eth0 metric 1024 pref medium
"""
SYSCTL = """\
fs.file-max = 1000000
fs.file-nr = 1292\t0\t1000000
kernel.core_pattern = |/usr/lib/systemd/systemd-coredump %P %u
net.core.somaxconn = 4096
net.ipv4.ip_local_port_range = 32768\t60999
net.ipv4.ip_local_reserved_ports = 40000-40010,50000
net.ipv4.tcp_tw_reuse = 2
net.netfilter.nf_conntrack_count = 12
net.netfilter.nf_conntrack_max = 262144
vm.max_map_count = 65530
"""
SYSCTL_FORMS = {
    "=": SYSCTL,
    "no space": SYSCTL.replace(" = ", "="),
    "slashes": "\n".join(line.replace(".", "/", line.partition(" =")[0].count(".")) for line in SYSCTL.splitlines()),
    "grep": "\n".join(
        "/proc/sys/" + line.partition(" = ")[0].replace(".", "/") + ":" + line.partition(" = ")[2]
        for line in SYSCTL.splitlines()
    ),
}
ULIMITS = {
    "bash": """\
core file size              (blocks, -c) 0
max locked memory           (kbytes, -l) 64
open files                          (-n) 1024
pipe size                (512 bytes, -p) 8
max user processes                  (-u) 4096
virtual memory              (kbytes, -v) unlimited
""",
    "old bash": """\
core file size          (blocks, -c) 0
max locked memory       (kbytes, -l) 64
open files                      (-n) 1024
max user processes              (-u) 4096
""",
    "dash": """\
time(seconds)        unlimited
data(kbytes)         unlimited
locked memory(kbytes) 64
process              4096
nofiles              1024
""",
    "zsh": """\
-t: cpu time (seconds)              unlimited
-u: processes                       4096
-n: file descriptors                1024
-l: locked-in-memory size (kbytes)  64
-N 15: rt cpu time (microseconds)   unlimited
""",
    "old zsh": "-l: locked-in-memory size (kb)  64\n-u: processes 4096\n-n: file descriptors 1024\n",
}
PID_LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max processes             unlimited            unlimited            processes
Max open files            1024                 524288               files
Max locked memory         65536                65536                bytes
Max nice priority         0                    0
"""
PID_STATUS = (
    "Name:\tnode\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t812\nUid:\t33\t33\t33\t33\nFDSize:\t256\nThreads:\t11\n"
)
MEMINFO = """\
MemTotal:       16000000 kB
MemFree:         1000000 kB
MemAvailable:    9000000 kB
Buffers:           80000 kB
Cached:          5000000 kB
Shmem:            500000 kB
"""
FREE = """\
               total        used        free      shared  buff/cache   available
Mem:        16000000     9500000     1000000      500000     5000000     9000000
Swap:              0           0           0
"""
DMESG = """\
[12345.678901] nf_conntrack: nf_conntrack: table full, dropping packet
[Sun Nov 29 02:34:16 2026] TCP: request_sock_TCP: Possible SYN flooding on port 8080. Sending cookies.
Nov 29 02:34:17 web1 kernel: TCP: out of memory -- consider tuning tcp_mem
"""


def read(text: str) -> tuple[Snapshot, HostNamespace]:
    found = paste(text)
    assert found is not None
    return found, found.namespaces[""]


@pytest.mark.parametrize("text", [SS_S_OLD, SS_S_NEW])
def test_ss_s_counts_the_sockets(text: str) -> None:
    """Of iproute2 before and after version 5."""
    found, inside = read(text)

    assert found.source == "ss -s"
    assert inside.sockstat == {"TCP.orphan": 12, "TCP.tw": 125_217, "TCP.inuse": 80, "TCP6.inuse": 6}
    assert inside.counters == {"CurrEstab": 61}


@pytest.mark.parametrize(
    ("text", "source", "owners", "age_known"),
    [
        (SS_TAN, "ss", False, False),
        (SS_TAN.partition("\n")[2], "ss", False, False),
        (SS_OLD, "ss", True, True),
        (SS_ALL, "ss", True, True),
        (NETSTAT, "netstat", True, False),
        (NETSTAT_TIMERS, "netstat", True, True),
    ],
    ids=["ss -tan", "ss -Htan", "old ss -tanpo", "ss -anpieo", "netstat -anp", "netstat -taneop"],
)
def test_listings_of_sockets_give_the_same_table(text: str, source: str, owners: bool, age_known: bool) -> None:
    """Two listeners, a client, a TIME_WAIT and an accepted socket whose program does not close it."""
    found, inside = read(text)

    assert found.source == source
    ends = list(map(str, four_tuples(inside.sockets)))
    assert ends == [
        "10.0.0.4:40000 → 10.0.0.9:443",
        "10.0.0.4:40001 → 10.0.0.9:443",
        "10.0.0.4:8080 → 10.0.0.7:51000",
    ]
    assert inside.sockets["state"].tolist() == [State.ESTABLISHED, State.TIME_WAIT, State.CLOSE_WAIT]
    assert inside.listeners["local_port"].tolist() == [8080, 443]
    first = "[::]:8080" if text == SS_OLD else "0.0.0.0:8080"  # * is 0.0.0.0 there, and :: in later versions
    assert [str(each.source) for each in four_tuples(inside.listeners)] == [first, "[::]:443"]
    assert inside.listeners["recv_q"].tolist() == [3, 0]
    assert inside.listeners["send_q"].tolist() == ([128, 511] if source == "ss" else [0, 0])
    assert (inside.read_from == SOCK_DIAG) == (source == "ss")
    assert inside.sockets["expires_ms"].tolist() == [0, 43_000 if age_known else 60_000, 0]
    if owners:
        assert inside.socket_pids.tolist() == [812, 0, 812]
        assert inside.listener_pids.tolist() == [812, 7]
        assert {pid: each.name for pid, each in found.processes.items()} == {812: "node", 7: found.processes[7].name}
    else:
        assert len(inside.socket_pids) == 0


@pytest.mark.parametrize("text", [NETSTAT_S, NETSTAT_S_NEW, NSTAT, PROC_NET])
def test_counters_have_the_kernels_names(text: str) -> None:
    """Of old and new net-tools, nstat, and the kernel's own files."""
    _, inside = read(text)

    assert {name: inside.counters.get(name) for name in COUNTERS} == COUNTERS


def test_sockstat() -> None:
    _, inside = read(SOCKSTAT)

    assert inside.sockstat["TCP.tw"] == 125_217
    assert (inside.sockstat["TCP.alloc"], inside.sockstat["TCP.mem"], inside.sockstat["TCP6.inuse"]) == (98, 23, 6)


@pytest.mark.parametrize("text", [CONNTRACK_OLD, CONNTRACK_NEW])
def test_connection_tracking_is_summed_over_cpus(text: str) -> None:
    _, inside = read(text)

    counts = {name: inside.counters[f"nf_conntrack.{name}"] for name in ("insert_failed", "drop", "early_drop")}
    assert counts == {"insert_failed": 11, "drop": 4, "early_drop": 2}


def test_ethtool_names_the_interface_of_its_prompt() -> None:
    """Without a prompt it is some interface."""
    _, inside = read(f"root@web1:~# ethtool -S eth1\n{ETHTOOL}")
    assert inside.counters["eth1.conntrack_allowance_exceeded"] == 77
    assert inside.counters["eth1.[0]: rx_ucast_packets"] == 5

    _, inside = read(ETHTOOL)
    assert inside.counters["nic.conntrack_allowance_exceeded"] == 77


def test_statistics_of_interfaces() -> None:
    _, inside = read(IP_LINK)

    names = ("rx_errors", "rx_dropped", "rx_missed_errors", "tx_errors", "tx_dropped", "tx_carrier_errors")
    assert [inside.counters[f"eth0.{name}"] for name in names] == [1, 2, 3, 4, 5, 6]
    assert inside.counters["lo.rx_over_errors"] == 0


def test_addresses_and_routes() -> None:
    _, inside = read(IP_ADDR + IP_ROUTE)

    assert inside.addresses == (
        HostAddress("10.0.0.4", 24, "eth0"),
        HostAddress("fd00::4", 64, "eth0", tentative=True, duplicate=True),
    )
    assert inside.routes == (
        HostRoute("0.0.0.0/0", "eth0", "10.0.0.4", 100),
        HostRoute("10.0.0.0/24", "eth0", "10.0.0.4"),
        HostRoute("172.17.0.0/16", "docker0", "172.17.0.1"),
        HostRoute("::/0", "eth0", "", 1024),
    )


@pytest.mark.parametrize("form", SYSCTL_FORMS)
def test_settings_are_read_in_every_form(form: str) -> None:
    """As sysctl prints them, as a file of /etc/sysctl.d has them, and as grep prints /proc/sys."""
    found, inside = read(SYSCTL_FORMS[form])

    assert (found.sysctls["fs.file-max"], found.sysctls["vm.max_map_count"]) == ("1000000", "65530")
    assert found.files_in_use == 1292
    assert inside.sysctls["net.core.somaxconn"] == "4096"
    assert inside.ports is not None
    assert (inside.ports.port_range, inside.ports.reserved_ports.size) == (range(32768, 61000), 12)
    assert (inside.ports.tw_reuse, inside.tracked) == (2, True)


def test_a_setting_that_a_prompt_names() -> None:
    """What cat prints says nothing by itself."""
    found, _ = read("$ cat /proc/sys/fs/file-nr\n1292\t0\t1000000\n$ sudo conntrack -C\n512\n")

    assert found.files_in_use == 1292
    assert found.namespaces[""].sysctls["net.netfilter.nf_conntrack_count"] == "512"


@pytest.mark.parametrize("shell", ULIMITS)
def test_limits_of_a_shell(shell: str) -> None:
    """They are those of a program that it would start."""
    found, _ = read(ULIMITS[shell])
    process = found.processes[0]

    assert (process.files_soft, process.processes_soft, process.memlock_soft_bytes) == (1024, 4096, 65_536)


def test_limits_of_a_process() -> None:
    """Of the process that the prompt or its status names, else of one without a PID."""
    for text, pid in (
        (PID_LIMITS, 0),
        (f"# cat /proc/812/limits\n{PID_LIMITS}", 812),
        (PID_STATUS + PID_LIMITS, 812),
        (PID_LIMITS + PID_STATUS, 812),
    ):
        found, _ = read(text)
        process = found.processes[pid]
        assert (process.files_soft, process.files_hard, process.processes_soft) == (1024, 524_288, None), text
        assert process.memlock_soft_bytes == 65_536
        assert len(found.processes) == 1
    assert (process.name, process.uid, process.files_most, process.threads) == ("node", 33, 256, 11)


@pytest.mark.parametrize(
    ("text", "total", "free"),
    [
        (MEMINFO, 16_000_000 * 1024, 5_500_000 * 1024),
        (FREE, 16_000_000 * 1024, 5_500_000 * 1024),
        ("$ free -m\n" + FREE.replace("00000 ", "0 "), None, None),
        (FREE.replace("16000000", "16Gi").replace(" 1000000", " 1.5Gi"), 2**34, None),
    ],
)
def test_memory(text: str, total: int | None, free: int | None) -> None:
    """In kilobytes, or in the unit that the text says."""
    found, _ = read(text)

    assert total is None or found.memory_bytes == total
    assert free is None or found.memory.free_bytes == free


def test_free_in_mebibytes_by_its_prompt() -> None:
    found, _ = read(
        "$ free -m\n              total used free shared buff/cache available\nMem: 16000 9000 1000 0 5000 9000\n"
    )

    assert (found.memory_bytes, found.memory.free_bytes) == (16_000 * 2**20, 6000 * 2**20)


def test_the_kernels_log_is_kept() -> None:
    """With seconds since the boot, with dates, and as syslog has it."""
    found, _ = read(DMESG)

    assert found.log == tuple(DMESG.splitlines())


@pytest.mark.parametrize(
    "date", ["Sun Nov 29 02:34:16 UTC 2026", "Sun, 29 Nov 2026 03:34:16 +0100", "2026-11-29T02:34:16+00:00"]
)
def test_the_host_its_kernel_and_the_time(date: str) -> None:
    """What the release tells of the kernel's behaviour is known by release only."""
    uname = "Linux web1 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64 GNU/Linux"
    found, inside = read(f"{uname}\n{date}\n{SYSCTL}")

    assert (found.host, found.kernel, found.at_s) == ("web1", "6.1.0-18-amd64", 1_795_919_656.0)
    assert {each.by for each in found.behaviours} == {KnownBy.RELEASE}
    assert next(each.holds for each in found.behaviours if each.name == BIND_RELEASED) is False
    assert inside.ports is not None
    assert not inside.ports.range_can_be_set


EVERYTHING = [
    SS_S_NEW,
    SS_TAN,
    NETSTAT_S,
    SOCKSTAT,
    CONNTRACK_NEW,
    ETHTOOL,
    IP_ADDR,
    IP_ROUTE,
    SYSCTL,
    ULIMITS["bash"],
    PID_STATUS,
    MEMINFO,
    DMESG,
]
COMMANDS = [
    "ss -s",
    "ss -tan",
    "netstat -s",
    "cat /proc/net/sockstat",
    "conntrack -S",
    "ethtool -S nic",
    "ip addr",
    "ip route",
    "sysctl -a",
    "ulimit -a",
    "cat /proc/812/status",
    "cat /proc/meminfo",
    "dmesg",
]


def parts(found: Snapshot) -> dict[str, Any]:
    """What a snapshot has, to be compared."""
    inside = found.namespaces[""]
    return {
        "sockets": four_tuples(inside.sockets),
        "listeners": four_tuples(inside.listeners),
        "routes": inside.routes,
        "addresses": inside.addresses,
        "counters": dict(inside.counters),
        "sockstat": dict(inside.sockstat),
        "sysctls": {**found.sysctls, **inside.sysctls},
        "processes": found.processes,
        "memory": found.memory,
        "log": found.log,
    }


def between(prompt: str) -> str:
    return "".join(f"{prompt}{command}\n{text}" for command, text in zip(COMMANDS, EVERYTHING, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(EVERYTHING),
        between("$ "),
        between("# "),
        between("[root@web1 ~]# "),
        between("root@web1:/var/log# "),
        between("me@web1:~$ sudo "),
        between("web1% "),
        between("bash-5.1$ "),
        "\r\n".join("".join(EVERYTHING).splitlines()),
        "\n".join(f"    {line}" for line in "".join(EVERYTHING).splitlines()),
        "\n".join(f"> {line}" for line in "".join(EVERYTHING).splitlines()),
        "\n".join(f"```console\n{text}```\n" for text in EVERYTHING),
        "Hi, we see errors since noon:\n\n" + "\nand then\n".join(EVERYTHING) + "\nThanks!\n",
        "".join(f"\x1b[1m{line}\x1b[m\n" for line in "".join(EVERYTHING).splitlines()),
    ],
    ids=[
        "bare",
        "$",
        "#",
        "[]",
        "root:",
        "sudo",
        "%",
        "bash",
        "CRLF",
        "indented",
        "quoted",
        "fenced",
        "mail",
        "colour",
    ],
)
def test_outputs_are_told_apart_by_themselves(text: str) -> None:
    """With prompts or without, quoted, in Markdown, from a mail: what is read is the same."""
    expected, _ = read("\n".join(EVERYTHING))
    found, _ = read(text)

    assert parts(found) == parts(expected)


def test_the_order_does_not_matter() -> None:
    expected, _ = read("\n".join(EVERYTHING))
    found, _ = read("\n".join(reversed(EVERYTHING)))

    assert parts(found) == parts(expected)


def test_one_host_at_a_time() -> None:
    """Where prompts tell two hosts apart the first counts, and the rest is said to be left out."""
    text = f"root@web1:~# ss -s\n{SS_S_NEW}root@web2:~# ss -s\n{SS_S_NEW.replace('125217', '7')}"
    found, inside = read(text)

    assert (found.host, inside.sockstat["TCP.tw"]) == ("web1", 125_217)
    assert found.unseen[0] == "outputs of 'web2' are left out: a paste is taken for one host, the first"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "28232",
        "EADDRNOTAVAIL",
        "dial tcp 10.0.0.9:80: connect: cannot assign requested address",
        "net.dial tcp 10.0.0.9:80: connect: cannot assign requested address",
        "net.http: request canceled (Client.Timeout exceeded)",
        "kernel.go:12: out of memory",
        "fs.open failed: 24",
        "2026-11-29T02:34:16Z nginx[812]: 24#24: *7 no live upstreams",
        "java.net.BindException: Address already in use",
        "TCP: 5 connections were closed",
        "process 4711 died",
        "nofiles",
        "Name: web\nStatus: Running",
        "root@web1:~# ./server\nlistening\n",
        "$ ss -s\n",
        "tcp 0 0 somewhere ESTABLISHED",
        "State of the nation",
        "Max retries exceeded with url: /x",
        "default via nowhere",
        "Sun Nov 29 02:34:16 UTC 2026",
    ],
)
def test_what_is_no_output_is_not_taken_for_one(text: str) -> None:
    """Log lines and questions stay what they are."""
    assert paste(text) is None


def test_a_paste_can_be_written_as_a_snapshot() -> None:
    found, inside = read("\n".join(EVERYTHING))
    again = decode(encode(found), found.source)

    assert parts(again)["counters"] == dict(inside.counters)
    assert len(again.namespaces[""].sockets) == len(inside.sockets)


ALL = "\n".join(
    [*EVERYTHING, SS_ALL, SS_OLD, NETSTAT_TIMERS, IP_LINK, PID_LIMITS, FREE, NSTAT, PROC_NET, between("# ")]
)


@given(st.text(max_size=300), st.integers(0, len(ALL)), st.integers(0, len(ALL)), st.integers(0, 40))
@settings(max_examples=300)
def test_no_text_is_an_error(noise: str, start: int, stop: int, dropped: int) -> None:
    """Any text, any cut, any noise within: a snapshot that can be written and read, or none."""
    for text in (noise, ALL[start:stop], ALL[:start] + noise + ALL[start + dropped :]):
        found = paste(text)
        if found is not None and start % 10 == 0:
            diagnose(decode(encode(found)))


@given(
    st.lists(st.sampled_from("".join(EVERYTHING).split()), max_size=30), st.sampled_from(["", " ", "\n", " = ", ": "])
)
def test_no_words_in_any_order_are_an_error(words: list[str], between: str) -> None:
    paste(between.join(words))


def test_long_lines_take_no_long_time() -> None:
    """Each pattern looks at a line a bounded number of times."""
    starts = [
        "net.ipv4.a",
        "default",
        "ESTAB 0 0 a",
        "tcp 0 0 a",
        "NIC statistics:\n",
        "inet 1.1.1.1/8",
        "a@b",
        "Max a",
        "cpu=0 ",
    ]
    fills = [" ", "a", "dev ", ": ", "a=1 ", "1", ":", "[", "("]
    for start, fill in itertools.product(starts, fills):
        paste(start + fill * 5000 + "!")


SS_LTNP = """\
State      Recv-Q Send-Q        Local Address:Port          Peer Address:Port Process
LISTEN     3      128                 0.0.0.0:8080               0.0.0.0:*     users:(("node",pid=812,fd=11))
LISTEN     0      511                    [::]:443                   [::]:*     users:(("nginx",pid=7,fd=6))
"""
NETSTAT_LTN = """\
Active Internet connections (only servers)
Proto Recv-Q Send-Q Local Address           Foreign Address         State
tcp        3      0 0.0.0.0:8080            0.0.0.0:*               LISTEN
tcp6       0      0 :::443                  :::*                    LISTEN
"""


@pytest.mark.parametrize(
    ("texts", "pids"),
    [
        ((SS_TAN, SS_LTNP), [812, 7]),
        ((SS_LTNP, SS_TAN), [812, 7]),
        ((SS_TAN, NETSTAT_LTN), []),
        ((NETSTAT_LTN, SS_TAN, SS_TAN), []),
        (("$ ss -Htan\n" + SS_TAN.partition("\n")[2], "$ ss -Hltn\n" + SS_LTNP.partition("\n")[2]), [812, 7]),
    ],
)
def test_sockets_of_several_outputs_count_once(texts: tuple[str, ...], pids: list[int]) -> None:
    """As the output has them that tells most: with backlogs and processes."""
    inside = read("".join(texts))[1]

    assert inside.listeners["local_port"].tolist() == [8080, 443]
    assert inside.listeners["send_q"].tolist() == [128, 511]
    assert inside.listener_pids.tolist() == pids
    assert len(inside.sockets) == 3


def test_a_connection_that_closed_between_two_outputs_is_as_the_later_one_has_it() -> None:
    inside = read(SS_TAN + SS_TAN.replace("ESTAB    ", "TIME-WAIT"))[1]

    assert sorted(inside.sockets["state"].tolist()) == sorted([State.TIME_WAIT, State.TIME_WAIT, State.CLOSE_WAIT])


def test_listeners_that_share_a_port_stay_several() -> None:
    """SO_REUSEPORT: one output lists them several times."""
    shared = SS_LTNP + SS_LTNP.partition("\n")[2]

    assert [len(read(text)[1].listeners) for text in (shared, SS_TAN + shared, shared + SS_TAN)] == [4, 4, 4]
