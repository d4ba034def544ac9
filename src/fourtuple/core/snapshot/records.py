"""Everything that `doctor`, `limits`, `census`, `why` and `plan` ask a host, as it was at one moment.

A `Snapshot` is read from a host, from a file that was written elsewhere or earlier, or from pasted output of other
tools. None means unknown, and `unseen` says what could not be read, and why.
"""

from collections.abc import Mapping
from dataclasses import field

import numpy as np

from fourtuple.core.limits.behaviours import Behaviour
from fourtuple.core.limits.facts import Memory, PortFacts
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.table import LISTENER, SOCKET, Sockets

VERSION = 1  # of the format of a file


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One control group: whom its processes belong to, and what it uses of its own limits.

    path:            as /proc/PID/cgroup gives it; of version 1 the deepest of those that matter here (`path_of`)
    service:         the unit of systemd, such as `nginx.service`; empty: none
    container, name: the container's ID, OUTER:INNER if it is in another; and its name, or that of the outer one, where
                     the runtime's state can be read; empty: none
    pod:             NAMESPACE/NAME, or the pod's UID where the name cannot be read; empty: none
    memory_bytes, memory_most_bytes: what it uses, and memory.max of the tightest cgroup above; None: no limit
    files_bytes:     the part of memory_bytes that is cached files, which the kernel can take back
    sockets_bytes:   the part of memory_bytes that is buffers of sockets (`sock` in memory.stat)
    oom_kills:       processes killed for lack of its memory so far
    pids, pids_most: tasks, and pids.max of the tightest cgroup above
    pids_refused:    times that a fork failed because of pids.max (pids.events)
    """

    path: str
    service: str = ""
    container: str = ""
    name: str = ""
    pod: str = ""
    memory_bytes: int | None = None
    memory_most_bytes: int | None = None
    files_bytes: int | None = None
    sockets_bytes: int | None = None
    oom_kills: int | None = None
    pids: int | None = None
    pids_most: int | None = None
    pids_refused: int | None = None


@dataclass(frozen=True, slots=True)
class HostProcess:
    """One process, as far as the user who made the snapshot may see it.

    cgroup:        a key of Snapshot.cgroups; empty: unknown
    netns:         a key of Snapshot.namespaces, such as `net:[4026531840]`; empty: not visible
    files_open:    its descriptors below the soft limit; None: not visible
    files_unsure:  as in ProcessFacts
    files_most:    upper bound of files_open if that is None: the size of its descriptor table (FDSize)
    processes_soft, memlock_soft_bytes: None also where unlimited
    capabilities, of_host, rings, epolls: as in ProcessFacts
    maps:          its memory mappings (vm.max_map_count); None: not counted
    inotify_instances, inotify_watches: None: not visible, or not counted
    arguments:     its command line; None: not asked for
    """

    pid: int
    name: str
    uid: int | None = None
    cgroup: str = ""
    netns: str = ""
    threads: int | None = None
    files_open: int | None = None
    files_soft: int | None = None
    files_hard: int | None = None
    files_most: int | None = None
    files_unsure: bool = False
    processes_soft: int | None = None
    memlock_soft_bytes: int | None = None
    capabilities: int = 0
    of_host: bool | None = None
    rings: int | None = None
    epolls: int | None = None
    maps: int | None = None
    inotify_instances: int | None = None
    inotify_watches: int | None = None
    arguments: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class UnixListener:
    """A listening Unix socket: waiting connections, and the backlog that it asked for; pid None: not visible."""

    path: str
    waiting: int
    backlog: int
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class HostAddress:
    """An address of an interface. tentative: duplicate address detection is not finished, so bind() fails."""

    address: str
    prefix: int
    interface: str
    tentative: bool = False
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route of the main table. destination: NETWORK/PREFIX; source: preferred source address; empty: none"""

    destination: str
    interface: str
    source: str = ""
    metric: int = 0


@dataclass(frozen=True, eq=False)
class HostNamespace:
    """One network namespace.

    netns:     its name in /proc/PID/ns/net, such as `net:[4026531840]`
    name:      as ip-netns(8) knows it; empty: no name
    pid:       a process inside, the one that runs longest, but neither the one that read this nor an ancestor of it;
               None: none is visible
    cgroup:    that of this process, or of the one that read this, a key of Snapshot.cgroups; empty: unknown
    ports:     the settings of its source ports; None: not readable
    sysctls, sockstat, counters, unlisted, tracked, neighbours: as in World; neighbours6: of IPv6
    sockets:   dtype SOCKET, all but the listening ones; `read_from` is the source of the listing
    listeners: dtype LISTENER
    socket_pids, listener_pids: the process of each row; 0: the kernel's; -1: not visible; empty: not looked for
    udp_ports: local ports that UDP sockets have, ascending
    udp_pids:  how many UDP sockets each visible process has
    routes6:   entries of the IPv6 routing table, which net.ipv6.route.max_size limits
    conntrack: entries of the connection tracking table by protocol, and by zone (`tcp`, `udp`, `zone 3`)
    why_not:   reasons, by the name of what could not be read
    """

    netns: str
    name: str = ""
    pid: int | None = None
    cgroup: str = ""
    ports: PortFacts | None = None
    sysctls: Mapping[str, str] = field(default_factory=dict)
    sockstat: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    unlisted: int | None = None
    tracked: bool | None = None
    neighbours: int | None = None
    neighbours6: int | None = None
    sockets: Sockets = field(default_factory=lambda: np.zeros(0, SOCKET))
    listeners: Sockets = field(default_factory=lambda: np.zeros(0, LISTENER))
    socket_pids: "np.ndarray[tuple[int], np.dtype[np.int32]]" = field(default_factory=lambda: np.zeros(0, np.int32))
    listener_pids: "np.ndarray[tuple[int], np.dtype[np.int32]]" = field(default_factory=lambda: np.zeros(0, np.int32))
    read_from: str = ""
    unix: tuple[UnixListener, ...] = ()
    udp_ports: tuple[int, ...] | None = None
    udp_pids: Mapping[int, int] = field(default_factory=dict)
    addresses: tuple[HostAddress, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    routes6: int | None = None
    conntrack: Mapping[str, int] = field(default_factory=dict)
    why_not: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A host at one moment.

    at_s:     seconds since the epoch
    uid:      the user who made it; 0 sees most; None: unknown, as of a paste
    netns:    the network namespace of who made it, on this host; empty: it comes from a file
    source:   what it was read from: `this host`, a file's name, or `ss -s, dmesg`
    sysctls:  those of the whole host (fs.*, kernel.*, vm.*)
    counters: those of the whole host, such as `softnet_stat.dropped`, `vmstat.oom_kill`, `eth0.rx_missed_errors`
    inotify_instances, inotify_watches: by user ID, as far as visible; what processes share counts once
    namespaces, processes, cgroups: by their names, PIDs and paths
    log:      lines of the kernel's log, where a paste has them
    unseen:   sentences: what this user could not see
    """

    at_s: float
    host: str = ""
    kernel: str = ""
    uid: int | None = None
    netns: str = ""
    source: str = ""
    version: int = VERSION
    behaviours: tuple[Behaviour, ...] = ()
    cpus: int = 1
    page_bytes: int = 4096
    memory_bytes: int | None = None
    memory: Memory = field(default_factory=lambda: Memory(None))
    files_in_use: int | None = None
    threads: int | None = None
    sysctls: Mapping[str, str] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    inotify_instances: Mapping[int, int] = field(default_factory=dict)
    inotify_watches: Mapping[int, int] = field(default_factory=dict)
    namespaces: Mapping[str, HostNamespace] = field(default_factory=dict)
    processes: Mapping[int, HostProcess] = field(default_factory=dict)
    cgroups: Mapping[str, Cgroup] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
