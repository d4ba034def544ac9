"""Causes on the way between the ends: tables of the kernel, routers, firewalls, names."""

import ipaddress
from collections.abc import Iterator, Mapping

from fourtuple.core.limits import meters
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.releases import IPVS_NO_DELAY, ROUTES6_FREE, XFRM_CACHE
from fourtuple.core.units import format_count, format_things
from fourtuple.core.why.scene import FULL, NEARLY, Cause, Evidence, Scene, ceiling, filled, limited, same

# Settings that every network namespace has: without them its settings were not read.
ALWAYS_THERE = frozenset({"net.core.somaxconn", "net.ipv4.tcp_fin_timeout", "net.ipv4.ip_local_port_range"})
LISTENS = Cure("check that the server runs and at which address it listens: ss -lntp there")


def conntrack(scene: Scene) -> Iterator[Evidence]:
    found = meters.CONNTRACK.read(scene.world)
    if found.room is None:
        # The text itself, or a host whose settings are not known, may still have a full table.
        if "conntrack" not in {*scene.finding.causes, *scene.logged} and scene.world.sysctls.keys() >= ALWAYS_THERE:
            yield Evidence(-1, "the host has no connection tracking; a device on the path may have")
        return
    yield from same(scene, found.ceiling, "nf_conntrack_max here", against=False)
    empty = 0 if found.in_use else -1
    yield from filled(scene, meters.CONNTRACK, FULL, (4, empty), "entries are in use in this namespace")
    if dropped := scene.moved(meters.CONNTRACK):
        yield Evidence(3, f"connection tracking has dropped {format_things(dropped, 'packet')} so far")


def nat(scene: Scene) -> Iterator[Evidence]:
    if scene.target and ipaddress.ip_address(scene.target.rpartition(":")[0].strip("[]")).is_global:
        yield Evidence(1, f"{scene.target} is a public address", said=True)
    elif scene.target:
        yield Evidence(-1, f"{scene.target} is not a public address", said=True)
    if failed := scene.counter("nf_conntrack.insert_failed"):
        yield Evidence(2, f"insert_failed of the host's own connection tracking is {format_count(failed)}")
    yield Evidence(0, "a router's ports cannot be seen from here; fourtuple plan N DEST --nat calculates them")


def neighbours(scene: Scene) -> Iterator[Evidence]:
    yield from filled(scene, meters.NEIGHBOURS, NEARLY, (3, -2), "neighbour entries are in use")
    if fulls := scene.moved(meters.NEIGHBOURS):
        yield Evidence(3, f"the neighbour table was full {format_things(fulls, 'time')}")


def dns_server(scene: Scene) -> Iterator[Evidence]:
    if dropped := scene.moved(meters.CONNTRACK):
        yield Evidence(2, f"connection tracking has dropped {format_things(dropped, 'packet')} so far")
    if failed := scene.counter("nf_conntrack.insert_failed"):
        yield Evidence(2, f"insert_failed of the host's own connection tracking is {format_count(failed)}")


def route_cache(scene: Scene) -> Iterator[Evidence]:
    return limited(scene, "net.ipv6.route.max_size", "IPv6 routes exist")


def xfrm(scene: Scene) -> Iterator[Evidence]:
    if not XFRM_CACHE.holds(scene.world.kernel_version):
        yield Evidence(-3, f"Linux {scene.world.kernel.partition('-')[0]} has no such cache for IPv4")


def no_listener(scene: Scene) -> Iterator[Evidence]:
    if scene.listens is not None:
        what = "a socket listens" if scene.listens else "no socket listens"
        yield Evidence(-3 if scene.listens else 3, f"{what} at {scene.target}")


def no_way(scene: Scene) -> Iterator[Evidence]:
    if scene.target and "[" in scene.target and scene.error == "ENETUNREACH":
        yield Evidence(1, f"{scene.target} is IPv6: a host without a global IPv6 address has no route to it", said=True)


NETWORK: Mapping[str, Cause] = {
    "conntrack": Cause(
        "connection tracking is full (nf_conntrack_max), here or on the path: new connections are dropped",
        (
            Cure(
                "conntrack -C and sysctl net.netfilter.nf_conntrack_max on each host of the path; dmesg: `table full`"
            ),
            Cure(
                "sysctl -w net.netfilter.nf_conntrack_max=… on that host, with nf_conntrack_buckets a quarter of it",
                "about 300 bytes of kernel memory per entry",
                Needs.ROOT,
            ),
            Cure(
                "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=86400",
                "connections that are idle for longer lose their NAT mapping",
                Needs.ROOT,
            ),
            Cure("add a NOTRACK rule for these ports", "no NAT and no stateful rules for them", Needs.ROOT),
        ),
        conntrack,
        ceiling(meters.CONNTRACK),
    ),
    "nat": Cause(
        "a NAT router on the path has no port left for this destination",
        (
            Cure("reuse connections (keep-alive, a pool)", "idle connections stay open at both ends", Needs.SETTING),
            Cure("fourtuple plan N DEST --nat calculates the need"),
            Cure("add public addresses or ports per machine to the NAT gateway", "they cost money", Needs.OTHERS),
            Cure("use a private route to the destination: a private endpoint, peering", "it costs money", Needs.OTHERS),
        ),
        nat,
    ),
    "neighbours": Cause(
        "the neighbour table is full: too many addresses on one link",
        (
            Cure("ip -s neighbour | wc -l counts the entries; dmesg says `neighbor table overflow`"),
            Cure(
                "sysctl -w net.ipv4.neigh.default.gc_thresh3=… on the host, and gc_thresh1 and 2; net.ipv6.neigh too",
                "more kernel memory; the setting applies to all namespaces of the host",
                Needs.ROOT,
            ),
            Cure("use a routed network, so that fewer addresses share one link", "", Needs.OTHERS),
        ),
        neighbours,
    ),
    "route-cache": Cause(
        f"the IPv6 routing table has reached net.ipv6.route.max_size (4,096 by default before {ROUTES6_FREE.linux})",
        (
            Cure(
                "sysctl -w net.ipv6.route.max_size=1048576",
                "more kernel memory if an attacker makes routes",
                Needs.ROOT,
            ),
            Cure(f"use {ROUTES6_FREE.linux} or later, which no longer counts cached routes", "", Needs.RESTART),
        ),
        route_cache,
    ),
    "xfrm": Cause(
        "IPsec: the kernel's cache of policies and states is full (xfrm4_gc_thresh, xfrm6_gc_thresh), so sends fail",
        (
            Cure(
                "sysctl -w net.ipv4.xfrm4_gc_thresh=32768, and net.ipv6.xfrm6_gc_thresh",
                "more kernel memory",
                Needs.ROOT,
            ),
            Cure("ip -s xfrm state and /proc/net/xfrm_stat show what fails"),
            Cure(f"use {XFRM_CACHE.linux} or later, which has no such cache for IPv4", "", Needs.RESTART),
        ),
        xfrm,
    ),
    "device-queue": Cause(
        "the queue of the network interface was full, so the kernel dropped what a UDP, raw or packet socket sent",
        (
            Cure("tc -s qdisc show dev INTERFACE and ip -s link show INTERFACE count `dropped`"),
            Cure("send at a lower rate, or try again after a while", "", Needs.CODE),
            Cure("ip link set INTERFACE txqueuelen 10000", "packets wait longer in the queue", Needs.ROOT),
        ),
    ),
    "netlink-buffer": Cause(
        "the receive buffer of a netlink socket was full: the kernel sent events faster than the program read them",
        (
            Cure("read the whole state again: events were lost", "", Needs.CODE),
            Cure("set a larger SO_RCVBUF (SO_RCVBUFFORCE above net.core.rmem_max)", "kernel memory", Needs.CODE),
        ),
    ),
    "cilium-map": Cause(
        "a map of Cilium's connection tracking is full (bpf-ct-global-tcp-max): new connections are dropped",
        (
            Cure("cilium bpf ct list global | wc -l, and cilium_bpf_map_pressure in its metrics"),
            Cure(
                "raise bpf-ct-global-tcp-max and bpf-ct-global-any-max, or bpf-map-dynamic-size-ratio",
                "more memory on each node; the agent restarts and connections may be cut",
                Needs.OTHERS,
            ),
            Cure(
                "lower conntrack-gc-interval, so that entries of closed connections go sooner", "more CPU", Needs.OTHERS
            ),
        ),
    ),
    "ipvs-reuse": Cause(
        "IPVS sends a reused source port to a server that is gone, or waits 1 s (net.ipv4.vs.conn_reuse_mode)",
        (
            Cure(f"use {IPVS_NO_DELAY.linux} or later on the nodes, in which the delay is gone", "", Needs.RESTART),
            Cure(
                "sysctl -w net.ipv4.vs.conn_reuse_mode=0, expire_nodest_conn=1",
                "with 0, new connections may reach a server that is being removed",
                Needs.ROOT,
            ),
            Cure("reuse connections, so that ports come back less soon", "", Needs.SETTING),
        ),
    ),
    "dns": Cause(
        "the name could not be resolved: no connection was tried",
        (
            Cure("getent ahosts NAME, and dig NAME @SERVER for each server of /etc/resolv.conf"),
            Cure("a trailing dot, or fewer search domains (ndots:1), spares failed lookups", "", Needs.SETTING),
            Cure(
                "a cache on the host: systemd-resolved, dnsmasq, node-local-dns",
                "answers may be stale for their TTL",
                Needs.ROOT,
            ),
        ),
    ),
    "dns-server": Cause(
        "the DNS server did not answer in time: a datagram of UDP was lost on the way, or the server is overloaded",
        (
            Cure("dig NAME @SERVER +tries=1, many times: failing always is a firewall, now and then is loss or load"),
            Cure(
                "conntrack -S on the nodes: insert_failed counts lookups of A and AAAA that raced on one socket, drop a"
                " full table"
            ),
            Cure(
                "resolv.conf: options single-request-reopen avoids that race, use-vc asks over TCP, ndots:1 asks less",
                "use-vc takes a connection per lookup; ndots:1 no longer finds short names",
                Needs.SETTING,
            ),
            Cure(
                "give the server more replicas or CPU (CoreDNS), or put a cache on each node: node-local-dns",
                "more memory; answers may be stale for their TTL",
                Needs.OTHERS,
            ),
        ),
        dns_server,
    ),
    "datagram-lost": Cause(
        "no answer over UDP: the datagram or its answer was lost, or nothing receives it; no kernel sends it again",
        (
            Cure("ss -uanp on the server shows whether a socket receives there, and its Recv-Q"),
            Cure("nstat -az UdpRcvbufErrors UdpInErrors UdpNoPorts on the server counts what it dropped"),
            Cure("send it again after a while, in the program", "", Needs.CODE),
        ),
    ),
    "no-listener": Cause(
        "no process listens there, or a firewall answers with a reset",
        (LISTENS, Cure("start the server"), Cure("check the address and the port", needs=Needs.SETTING)),
        no_listener,
    ),
    "firewall": Cause(
        "a firewall: no answer means that it drops, EHOSTUNREACH or EPERM that it rejects",
        (
            Cure("list the rules: nft list ruleset, iptables -S", "", Needs.ROOT),
            Cure("ask the administrator of the firewall", "", Needs.OTHERS),
        ),
    ),
    "no-way": Cause(
        "the destination is unreachable: no route, or no host answers for the address on the link",
        (Cure("ip route get ADDRESS shows the route"), Cure("ip neighbour shows FAILED where no host answers")),
        no_way,
    ),
    "reset": Cause(
        "the peer closed or reset the connection: it exited, closed its listener, or had dropped the connection",
        (
            Cure("read the other end's log at that time"),
            Cure(
                "close idle connections in the client sooner than the server or a router does; send keep-alives",
                "some more traffic",
                Needs.SETTING,
            ),
            Cure("try idempotent requests again on a new connection", "", Needs.CODE),
        ),
    ),
    "closed-early": Cause(
        "the peer closed the connection before it answered: it crashed, restarted, or ended it as idle in that moment",
        (
            Cure("read the other end's log at that time: a crash, a restart, a worker that was killed or timed out"),
            Cure(
                "let the client close idle connections sooner than the server does (keep-alive timeouts: Node 5 s,"
                " nginx 75 s), so that no request meets a close",
                "some more connections",
                Needs.SETTING,
            ),
            Cure("try idempotent requests again on a new connection", "", Needs.CODE),
            Cure("check that both speak the same protocol at that port: TLS or not, HTTP/1 or HTTP/2"),
        ),
    ),
    "slow-server": Cause(
        "the connection is there, but no answer came in the client's time: the server is slow, stands still, or has"
        " not accepted it yet",
        (
            Cure("ss -lnt on the server: a Recv-Q that grows is a server that does not accept"),
            Cure("ss -tan on the server: a Recv-Q above 0 in ESTAB is a request that the program has not read"),
            Cure("find what the request waits for: the server's log and profile, a database, a lock, a pool"),
            Cure(
                "raise the client's timeout, if the answer may take that long",
                "more requests are under way at once",
                Needs.SETTING,
            ),
        ),
    ),
    "path-lost": Cause(
        "what this end sends is not acknowledged: the peer is gone, or a router, NAT or firewall forgot the connection",
        (
            Cure("ss -tino dst ADDRESS shows retransmissions (retrans, backoff) while it lasts"),
            Cure(
                "send keep-alives sooner than the router forgets: SO_KEEPALIVE with TCP_KEEPIDLE below its idle time"
                " (AWS 350 s, Azure 4 minutes)",
                "some more traffic",
                Needs.SETTING,
            ),
            Cure("TCP_USER_TIMEOUT ends such a connection sooner than after 15 minutes", needs=Needs.CODE),
        ),
    ),
    "no-answer-yet": Cause(
        "not an error: a non-blocking connect() is in progress; if it stays so, the destination does not answer",
        (
            Cure("wait until the socket is writable, then read SO_ERROR", "", Needs.CODE),
            Cure("fourtuple why ETIMEDOUT"),
        ),
    ),
    "not-ready": Cause(
        "not an error: a non-blocking socket has no data to read, or no room to write",
        (
            Cure("wait until the socket is ready, then try again", "", Needs.CODE),
            Cure("with SO_RCVTIMEO or SO_SNDTIMEO it is a timeout: fourtuple why ETIMEDOUT"),
        ),
    ),
}
