"""Kernel behaviour that began or ended with a release: one rule each, with its source.

The code tests a rule, `TW_RECYCLE.holds(version)`, and texts name its release, `TW_RECYCLE.linux`. A change may have
been backported to an older kernel, so behaviour that can be tried is tried (core/limits/behaviours.py).
"""

import re

from fourtuple.core.record import dataclass

Version = tuple[int, int]  # (6, 8)


@dataclass(frozen=True, slots=True)
class KernelRule:
    """One rule about the kernel's behaviour.

    says:   the behaviour
    since:  the first release with this behaviour; None: all earlier releases have it
    until:  the first release without it; None: current releases have it
    source: a man page, a kernel file, or a kernel document
    also:   releases of older series that have the change, too
    """

    says: str
    since: Version | None
    until: Version | None
    source: str
    also: tuple[str, ...] = ()

    def holds(self, version: Version) -> bool:
        return (self.since is None or version >= self.since) and (self.until is None or version < self.until)

    @property
    def release(self) -> str:
        """The release that changed the behaviour, such as `6.8`."""
        return ".".join(map(str, self.since or self.until or ()))

    @property
    def linux(self) -> str:
        """The releases that brought the change, such as `Linux 6.8`, or `Linux 6.3 and 6.1.32`."""
        return " and ".join((f"Linux {self.release}", *self.also))


# Source ports.
NO_PORT = KernelRule(
    "IP_BIND_ADDRESS_NO_PORT: bind() records the address, connect() chooses the port", (4, 2), None, "ip(7)"
)
OWN_RANGE = KernelRule(
    "IP_LOCAL_PORT_RANGE narrows the range for one socket",
    (6, 3),
    None,
    "ip(7); net/ipv4/ip_sockglue.c",
    also=("6.1.32",),
)
IN_TURN = KernelRule(
    "with IP_LOCAL_PORT_RANGE connect() tries all ports in turn, not every second one first",
    (6, 8),
    None,
    "net/ipv4/inet_hashtables.c, __inet_hash_connect()",
)
BIND_RELEASED = KernelRule(
    "once the socket that bind() gave a port to has closed, connect() can choose the port while other sockets use it",
    (6, 18),
    None,
    "net/ipv4/inet_hashtables.c, inet_bind_bucket (commit d57f4b874946)",
    also=("6.17.y",),
)
AUTOBIND_REUSE = KernelRule("net.ipv4.ip_autobind_reuse", (5, 7), None, "ip-sysctl.rst")
TW_RECYCLE = KernelRule("net.ipv4.tcp_tw_recycle", None, (4, 12), "ip-sysctl.txt (v4.11)")
TW_REUSE_DELAY = KernelRule(
    "net.ipv4.tcp_tw_reuse_delay; fixed at 1 s before",
    (6, 14),
    None,
    "ip-sysctl.rst; net/ipv4/tcp_ipv4.c, tcp_twsk_unique()",
)

TW_REUSE_IN_MS = KernelRule(
    "connect() measures the age of a 4-tuple in TIME_WAIT in ms, not in whole seconds",
    (6, 14),
    None,
    "net/ipv4/tcp_ipv4.c, tcp_twsk_unique() (commit 19ce8cd30465)",
)
FIN_WAIT2_REUSED = KernelRule(
    "connect() may reuse a 4-tuple whose closed socket waits in FIN_WAIT2, as one in TIME_WAIT",
    None,
    (6, 12),
    "net/ipv4/tcp_ipv4.c, tcp_twsk_unique() (commit 0d9e5df4a257)",
)

# Contents of sock_diag listings.
SOCKET_OPTIONS_LISTED = KernelRule(
    "sock_diag lists options of sockets (INET_DIAG_SOCKOPT)", (5, 10), None, "include/uapi/linux/inet_diag.h"
)
BOUND_ARE_LISTED = KernelRule(
    "sock_diag lists sockets that are only bound (TCP_BOUND_INACTIVE)",
    (6, 8),
    None,
    "net/ipv4/inet_diag.c, inet_diag_dump_icsk()",
)

SYN_QUEUE_PLUS_1 = KernelRule(
    "a SYN queue holds one more connection than the backlog; before, some kernels hold one more, others not",
    (6, 12),
    None,
    "net/ipv4/tcp_input.c, tcp_conn_request(); measured on 5.10, 6.1, 6.8 and 6.12",
)

# Settings of a namespace.
SOMAXCONN_4096 = KernelRule("net.core.somaxconn is 4,096 by default, instead of 128", (5, 4), None, "listen(2)")
READ_ONLY_MOUNTS = KernelRule(
    "mount_setattr(): a mount and all mounts below it become read-only", (5, 12), None, "mount_setattr(2)"
)
CHILD_HASH = KernelRule(
    "net.ipv4.tcp_child_ehash_entries: a namespace has its own hash table", (6, 1), None, "ip-sysctl.rst"
)
LINEAR_SYNS = KernelRule(
    "net.ipv4.tcp_syn_linear_timeouts: the first SYNs are retransmitted without doubling the wait",
    (6, 5),
    None,
    "ip-sysctl.rst",
)
RTO_MAX = KernelRule(
    "net.ipv4.tcp_rto_max_ms: the longest wait before a retransmission", (6, 15), None, "ip-sysctl.rst"
)

# Tables.
ROUTES6_FREE = KernelRule(
    "net.ipv6.route.max_size limits nothing", (6, 3), None, "net/ipv6/route.c, ip6_dst_alloc() (commit af6d10345ca7)"
)
XFRM_CACHE = KernelRule(
    "IPsec has a cache of flows, which xfrm4_gc_thresh limits", None, (4, 14), "net/xfrm/xfrm_policy.c, net/core/flow.c"
)
IPVS_NO_DELAY = KernelRule(
    "IPVS takes a reused source port without a delay where connections are tracked",
    (5, 9),
    None,
    "Documentation/networking/ipvs-sysctl.rst, conn_reuse_mode; net/netfilter/ipvs/ip_vs_core.c",
)

# io_uring; kernel/uring.py probes each of these features.
RING = KernelRule("io_uring has the operations that a ring of connections needs", (6, 1), None, "io_uring_setup(2)")
RING_OPTIONS = KernelRule("io_uring sets socket options", (6, 7), None, "io_uring/uring_cmd.c")
RING_ENDS = KernelRule(
    "a direct descriptor can become a file, to read its addresses (FIXED_FD_INSTALL)",
    (6, 8),
    None,
    "io_uring/openclose.c",
)
RING_BIND = KernelRule("io_uring binds (IORING_OP_BIND)", (6, 11), None, "io_uring/net.c")

RULES: tuple[KernelRule, ...] = (
    NO_PORT,
    OWN_RANGE,
    IN_TURN,
    BIND_RELEASED,
    AUTOBIND_REUSE,
    TW_RECYCLE,
    TW_REUSE_DELAY,
    TW_REUSE_IN_MS,
    FIN_WAIT2_REUSED,
    SOCKET_OPTIONS_LISTED,
    BOUND_ARE_LISTED,
    SYN_QUEUE_PLUS_1,
    SOMAXCONN_4096,
    READ_ONLY_MOUNTS,
    CHILD_HASH,
    LINEAR_SYNS,
    RTO_MAX,
    ROUTES6_FREE,
    XFRM_CACHE,
    IPVS_NO_DELAY,
    RING,
    RING_OPTIONS,
    RING_ENDS,
    RING_BIND,
)


def parse_release(release: str) -> Version:
    """The major and minor number of a release: `6.1.0-18-amd64` → (6, 1); (0, 0) for what is no release."""
    numbers = re.match(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?", release)
    return (int(numbers[1]), int(numbers[2] or 0)) if numbers else (0, 0)
