"""Causes that leave no source port, or no port to listen on."""

from collections.abc import Iterator, Mapping

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.releases import IN_TURN
from fourtuple.core.limits.time_wait import kept_ms
from fourtuple.core.units import format_count, format_duration, format_rate, format_things
from fourtuple.core.why.scene import FULL, HALF, Bearing, Cause, Evidence, Numbers, Scene, quiet, same

FEW = 10  # sockets in CLOSE_WAIT from which they are reported: none should stay
NO_PORT_LEFT = "EADDRNOTAVAIL"
MOSTLY = 0.75  # share of the ports that one destination may have, for the others to be many enough to share with it
SOME = 0.1  # share of the sockets in TIME_WAIT that is worth a note
SOME_RESERVED = 0.25  # share of the range that is reserved from which that is reported

REUSE = Cure("reuse connections (keep-alive, a pool)", "idle connections stay open at both ends", Needs.SETTING)
MORE_SOURCES = Cure(
    "use a second source address, or a further destination address or port: fourtuple plan N DEST shows which",
    "the program must bind to the address, or a route must name it (ip route … src)",
    Needs.SETTING,
)
WIDER = Cure(
    'widen the range: sysctl -w net.ipv4.ip_local_port_range="1024 65535"',
    "endangers servers that listen in the new range: after a restart their port may be taken. Reserve their ports"
    " first in net.ipv4.ip_local_reserved_ports, and Kubernetes' 30000-32767",
    Needs.ROOT,
)
NO_PORT = Cure(
    "do not call bind() before connect(): leave out options such as local_addr or source_address, or set"
    " IP_BIND_ADDRESS_NO_PORT in the code that calls bind(address, 0)",
    "helps only with several destinations: to one destination it gains nothing",
    Needs.SETTING,
)
SEARCH_IN_TURN = Cure(
    f"set IP_LOCAL_PORT_RANGE on the socket ({IN_TURN.linux} and later): connect() then tries all ports in turn",
    needs=Needs.CODE,
)
TW_REUSE = Cure(
    "sysctl -w net.ipv4.tcp_tw_reuse=1: connect() then reuses a port after 1 s in TIME_WAIT",
    "works only for connections that this host opens",
    Needs.ROOT,
)
TIMESTAMPS = Cure(
    "sysctl -w net.ipv4.tcp_timestamps=1: without timestamps connect() reuses no port in TIME_WAIT",
    "12 more bytes in each packet",
    Needs.ROOT,
)
SERVER_FIRST = Cure("let the server close first: TIME_WAIT then stays at its end", needs=Needs.OTHERS)
LOOK = Cure(
    "fourtuple census shows which processes hold ports; fourtuple check -- COMMAND tests one program",
)
BEYOND = Cure("fourtuple prove past-65536 shows it on this host; fourtuple limits DEST shows what ends it here")
LEAK = (
    Cure("restart the program: that frees what it has leaked", "its connections end, and the leak begins anew"),
    Cure("correct the program: it must close() what the other end has closed", needs=Needs.CODE),
)
BELOW_THE_RANGE = Cure(
    "give servers ports below net.ipv4.ip_local_port_range, or add theirs to net.ipv4.ip_local_reserved_ports",
    "each reserved port is one less for outgoing connections",
    Needs.ROOT,
)


def use(scene: Scene) -> Iterator[Evidence]:
    """Yield how much of the port range is used towards the target, or towards the busiest destination."""
    pair, usable = scene.pair, scene.usable
    if pair is None:
        if scene.error == NO_PORT_LEFT and scene.target and scene.destinations is not None:
            yield Evidence(-2, f"no socket of this namespace is connected to {scene.target} now")
        return
    if not usable:
        return
    who = f" (owner: {scene.owners})" if scene.owners else ""
    waits = f", {format_count(pair.time_wait)} of them in TIME_WAIT" if pair.time_wait else ""
    if waits and scene.reuses:
        waits = f"; {format_count(pair.time_wait)} more are in TIME_WAIT and can be reused"
    text = (
        f"{format_count(scene.used)} of {format_count(usable)} ports are in use from {pair.source} to"
        f" {pair.destination}{who}{waits}"
    )
    lack = -2 if scene.error or scene.target else 0
    yield Evidence(4 if scene.in_use >= FULL else 1 if scene.in_use >= HALF else lack, text)


def port_range(scene: Scene) -> Iterator[Evidence]:
    if facts := scene.world.ports:
        what = f"the port range here is {facts.port_range.start}-{facts.port_range.stop - 1}; usable ports"
        yield from same(scene, scene.usable or scene.range_size, what)
    yield from use(scene)
    held = scene.ports.unattributed + scene.ports.blocked if scene.ports else 0
    if scene.pair and scene.destinations == 1 and held >= HALF * (scene.range_size or 1):
        yield Evidence(0, "all go to one destination, so IP_BIND_ADDRESS_NO_PORT would gain nothing")


def port_numbers(scene: Scene) -> Iterator[Evidence]:
    if len(scene.finding.text.split()) == 1:  # the question is what the number is, and not why connections stop at it
        yield Evidence(1, "65,535 is the highest port number; port 0 is none (ip(7))", said=True)
    yield Evidence(0, "a server needs no port per client: accept() uses the port of the listener again", said=True)
    if facts := scene.world.ports:
        text = (
            f"connect() chooses from {facts.port_range.start}-{facts.port_range.stop - 1} here: a program gets to"
            " 65,535 only if it names its source ports"
        )
        yield Evidence(0, text)


def range_sizes(scene: Scene) -> Numbers:
    return scene.range_size, scene.usable


def more_ports(scene: Scene) -> Iterator[Cure]:
    """The remedies for a pair without ports, with what a further source address gains."""
    yield REUSE
    gain = scene.usable or (scene.range_size or 0) - scene.reserved  # ports that bind() holds count for each address
    if gain <= 0 or scene.bearing is Bearing.THEN:
        yield MORE_SOURCES
    else:
        yield Cure(
            f"use a second source address, which adds {format_things(gain, 'port')} to the same destination, or a"
            " further destination address or port: fourtuple plan N DEST shows which",
            MORE_SOURCES.costs,
            MORE_SOURCES.needs,
        )
    facts = scene.world.ports
    if facts is None or scene.bearing is Bearing.THEN or len(facts.port_range) < 64_000:
        yield WIDER


def time_wait(scene: Scene) -> Iterator[Evidence]:
    pair, usable = scene.pair, scene.usable
    if pair and pair.used and pair.time_wait >= HALF * pair.used:
        # A range that is full of TIME_WAIT leaves no doubt: short connections are the cause.
        share = pair.used / usable if usable else 0
        weight = 9 if share >= FULL else 3 if share >= HALF else 0
        counts = f"{format_count(pair.time_wait)} of {format_count(pair.used)}"
        yield Evidence(weight, f"{counts} sockets to {pair.destination} are in TIME_WAIT")
    elif pair:
        weight = 0 if pair.time_wait >= SOME * pair.used else -2
        yield Evidence(weight, f"in TIME_WAIT: {format_things(pair.time_wait, 'socket')} to {pair.destination}")
    facts = scene.world.ports
    if facts and scene.reuses:
        setting = f"net.ipv4.tcp_tw_reuse is {facts.tw_reuse}" + (
            ", and this is loopback" if facts.tw_reuse == 2 else ""
        )
        after = format_duration(facts.tw_reuse_delay_ms / 1000)
        yield Evidence(0, f"connect() reuses a port that has been in TIME_WAIT for {after}: {setting}")
    if facts and usable:
        most = format_rate(usable / (kept_ms(facts, loopback=scene.reuses) / 1000))
        yield Evidence(0, f"if this end closes first, one destination allows at most {most} new connections")


def shorter_waits(scene: Scene) -> Iterator[Cure]:
    yield REUSE
    if not scene.reuses:
        if scene.world.ports and not scene.world.ports.timestamps:
            yield TIMESTAMPS
        yield TW_REUSE
    yield SERVER_FIRST
    yield from (cure for cure in more_ports(scene) if cure is not REUSE)


def close_wait(scene: Scene) -> Iterator[Evidence]:
    pair = scene.pair
    if pair and scene.usable and pair.close_wait >= HALF * pair.used and pair.close_wait >= FEW:
        count = f"{format_count(pair.close_wait)} of {format_count(pair.used)}"
        text = f"{count} sockets to {pair.destination} are in CLOSE_WAIT"
        yield Evidence(9 if scene.in_use >= FULL else 3, text)
    elif scene.close_wait is None:
        return
    elif scene.close_wait >= FEW:
        who = f" (owner: {scene.close_wait_owners})" if scene.close_wait_owners else ""
        soft = scene.world.process.files_soft if scene.error == "EMFILE" and scene.asked else None
        theirs = (
            scene.error != "EMFILE" and scene.finding.destination
        )  # a leak to another one keeps no port of this one
        weight = 5 if soft and scene.close_wait >= HALF * soft else 0 if theirs else 1
        yield Evidence(weight, f"in CLOSE_WAIT: {format_things(scene.close_wait, 'socket')} of this namespace{who}")
    else:
        yield Evidence(-2, f"in CLOSE_WAIT: {format_things(scene.close_wait, 'socket')} of this namespace")


def bound_first(scene: Scene) -> Iterator[Evidence]:
    finding, ports = scene.finding, scene.ports
    chosen = not finding.port and (finding.destination or finding.source.endswith(":0"))
    if finding.call == "bind" and scene.error == "EADDRINUSE" and chosen:
        yield Evidence(4, "bind() failed for a connection, and the text names no port of its own", said=True)
    if ports is None or not scene.range_size:
        return
    share = ports.blocked / max(1, scene.range_size - scene.reserved)
    unknown, facts = ports.unattributed + ports.hidden, scene.world.ports
    checks = " (limits --probe checks)" if facts and facts.can_probe(ports.unattributed, ports.hidden) else ""
    perhaps = f"; {format_count(unknown)} more may be{checks}" if unknown else ""
    text = f"held by bind() or listen(): {format_things(ports.blocked, 'port')} of the range{perhaps}"
    free = max(1, scene.range_size - scene.reserved)
    held = min(ports.blocked + ports.unattributed, scene.single or 0) >= FULL * free
    if scene.pair and held and scene.pair.used < MOSTLY * free and (scene.destinations or 0) > 1:
        several = f"each port of the range has one connection, to {scene.destinations} destinations in all"
        yield Evidence(6, f"{several}: connect() would share ports between them, bind() does not")
    yield Evidence(5 if share >= HALF else 1 if share >= 0.1 else 0 if unknown else -2, text)


def bind_late(scene: Scene) -> Iterator[Cure]:
    """NO_PORT helps with several destinations only; with one, nothing but sources, destinations or less helps."""
    if scene.destinations is not None and scene.destinations <= 1 and scene.bearing is not Bearing.THEN:
        yield from more_ports(scene)
        yield NO_PORT
    else:
        yield NO_PORT
        yield from more_ports(scene)
    yield LOOK


def half_range(scene: Scene) -> Iterator[Evidence]:
    if scene.range_size is not None:
        yield from same(scene, scene.range_size // 2, "half of the range here")
    if scene.world.ports:
        tries = "tries all ports in turn" if scene.can_search_in_turn else "tries every second port first, also"
        yield Evidence(0, f"this kernel {tries} if IP_LOCAL_PORT_RANGE is set on the socket")


def half_range_sizes(scene: Scene) -> Numbers:
    return (scene.range_size and scene.range_size // 2,)


def quicker_search(scene: Scene) -> Iterator[Cure]:
    if scene.can_search_in_turn:
        yield SEARCH_IN_TURN
    yield MORE_SOURCES


def reserved(scene: Scene) -> Iterator[Evidence]:
    if not scene.range_size:
        return
    share = scene.reserved / scene.range_size
    text = (
        f"{format_count(scene.reserved)} of the {format_count(scene.range_size)} ports of the range are reserved"
        " (net.ipv4.ip_local_reserved_ports)"
    )
    yield Evidence(7 if share >= HALF else 2 if share >= SOME_RESERVED else -2, text)


def no_such_source(scene: Scene) -> Iterator[Evidence]:
    if scene.has_source is not None:
        has = "has" if scene.has_source else "does not have"
        weight = -3 if scene.has_source else 6
        yield Evidence(weight, f"this namespace {has} the address {scene.finding.source or scene.finding.destination}")
    usable = scene.usable
    short = scene.in_use >= HALF or scene.reserved * 2 >= (scene.range_size or 1)
    if scene.pair and scene.in_use >= FULL:
        yield Evidence(-2, f"all {format_count(usable or 0)} ports are in use, which explains the error by itself")
    elif usable and not short and scene.bearing is Bearing.NOW:
        free = usable - scene.used
        yield Evidence(1, f"ports are not short now: {scene.up_to}{format_count(free)} are free")
    if scene.target and "[" in scene.target:
        off = scene.world.sysctls.get("net.ipv6.conf.all.disable_ipv6", "").strip()
        text = f"{scene.target} is IPv6; net.ipv6.conf.all.disable_ipv6 is {off or 'unknown'}"
        yield Evidence(3 if off == "1" else 0, text)


def tentative_address(scene: Scene) -> Iterator[Evidence]:
    if scene.tentative is not None:
        state = "waits for" if scene.tentative else "does not wait for"
        yield Evidence(6 if scene.tentative else -2, f"the address {state} duplicate address detection now")


def port_owned(scene: Scene) -> Iterator[Evidence]:
    port = scene.finding.port
    if port is None:
        return
    for holder in scene.holders:
        yield Evidence(4, f"port {port}: {holder}")
    if not scene.holders:
        yield Evidence(-2, f"no socket of this namespace has port {port} now")
    facts = scene.world.ports
    if facts and port in facts.automatic_ports:
        yield Evidence(1, f"port {port} is in net.ipv4.ip_local_port_range, from which connect() takes ports")


def udp_ports(scene: Scene) -> Iterator[Evidence]:
    if found := scene.limits.get("UDP ports"):
        most, used = found
        share = (used or 0) / max(1, most)
        text = f"{format_count(used or 0)} of {format_count(most)} ports of the range are in use by UDP sockets"
        yield Evidence(6 if share >= FULL else 1 if share >= HALF else -2, text)
    yield Evidence(0, "UDP: sockets without bind() share one port range for all destinations")


def privileged(scene: Scene) -> Iterator[Evidence]:
    facts, port = scene.world.ports, scene.finding.port
    if facts and port:
        below = port < facts.unprivileged_start
        text = (
            f"port {port} is {'below' if below else 'not below'} ip_unprivileged_port_start, {facts.unprivileged_start}"
        )
        yield Evidence(3 if below else -2, text)


PORTS: Mapping[str, Cause] = {
    "port-numbers": Cause(
        "a source port is a number of 16 bits, so one source address has 65,535 of them for one destination address and"
        " port; every further source or destination has as many again",
        (MORE_SOURCES, REUSE, BEYOND),
        port_numbers,
    ),
    "port-range": Cause(
        "connections from one source address to one destination use up the port range",
        (REUSE, MORE_SOURCES, WIDER),
        port_range,
        range_sizes,
        more_ports,
    ),
    "time-wait": Cause(
        "short connections: this end closes first, so each connection keeps its port for 60 s in TIME_WAIT",
        (REUSE, TW_REUSE, SERVER_FIRST, MORE_SOURCES),
        time_wait,
        here=shorter_waits,
    ),
    "close-wait": Cause(
        "a leak: the other end has closed, this program has not; a socket in CLOSE_WAIT stays until it does",
        LEAK,
        close_wait,
    ),
    "fin-wait-2": Cause(
        "this end has closed, the other end has not: it stays in CLOSE_WAIT there, and the port is held here meanwhile",
        (
            Cure("find the program at the other end that does not close(): ss -tanp state close-wait there"),
            Cure("correct it: it must close() what this end has closed", needs=Needs.CODE),
            Cure(
                "sysctl -w net.ipv4.tcp_fin_timeout=15 ends sooner those that no program here holds any more",
                "what the other end still sends is answered by a reset",
                Needs.ROOT,
            ),
        ),
    ),
    "bound-first": Cause(
        "a program calls bind() before connect(), so each of its ports serves only one connection",
        (NO_PORT, MORE_SOURCES, LOOK),
        bound_first,
        here=bind_late,
    ),
    "reserved": Cause(
        "most of the port range is reserved (net.ipv4.ip_local_reserved_ports), so connect() has few ports left",
        (
            Cure(
                "shorten net.ipv4.ip_local_reserved_ports: leave in it only the ports of servers",
                "a port that is no longer reserved can be taken by an outgoing connection before its server starts",
                Needs.ROOT,
            ),
            Cure(
                "move the range to ports that are not reserved: sysctl -w net.ipv4.ip_local_port_range=…",
                WIDER.costs,
                Needs.ROOT,
            ),
            REUSE,
        ),
        reserved,
    ),
    "half-range": Cause(
        "half of the port range is used: nothing fails, but each connect() tries thousands of ports",
        (SEARCH_IN_TURN, MORE_SOURCES),
        half_range,
        half_range_sizes,
        quicker_search,
    ),
    "no-such-source": Cause(
        "not a lack of ports: this host does not have the source address, or the IP version is disabled",
        (
            Cure("use an address that `ip address` shows; 127.0.0.1 instead of localhost", needs=Needs.SETTING),
            Cure(
                "for an address that comes later (a failover): sysctl -w net.ipv4.ip_nonlocal_bind=1",
                "programs can then bind to any address, also to mistyped ones",
                Needs.ROOT,
            ),
            Cure("enable IPv6, or use IPv4", needs=Needs.SETTING),
        ),
        no_such_source,
    ),
    "tentative-address": Cause(
        "the IPv6 address is tentative: bind() fails until duplicate address detection has finished, about 1 to 2 s",
        (
            Cure("start the program later, or let it try again: systemd's Restart=on-failure", needs=Needs.SETTING),
            Cure(
                "set IPV6_FREEBIND or IP_FREEBIND on the socket (systemd: FreeBind=yes), or bind to [::]",
                needs=Needs.CODE,
            ),
            Cure(
                "sysctl -w net.ipv6.conf.INTERFACE.optimistic_dad=1, or accept_dad=0",
                "with accept_dad=0 an address that another host has is used nevertheless",
                Needs.ROOT,
            ),
        ),
        tentative_address,
    ),
    "duplicate-address": Cause(
        "another host on the link has this IPv6 address: duplicate address detection failed, so nothing can use it",
        (
            Cure("find the other host: ip -6 neighbour, and the addresses marked dadfailed in `ip -6 address`"),
            Cure(
                "remove the address from one of the two hosts, then add it again here",
                "its connections end",
                Needs.ROOT,
            ),
        ),
    ),
    "same-tuple": Cause(
        "a connection with this 4-tuple already exists: the program chose the source port itself",
        (
            Cure("let the kernel choose the port: bind to port 0, or not at all", needs=Needs.CODE),
            Cure("ss -tan shows the connection that has the 4-tuple, perhaps in TIME_WAIT"),
        ),
        quiet,
    ),
    "port-owned": Cause(
        "another socket holds the port and does not share it",
        (
            Cure("stop the process that holds it: ss -tlnp shows which", "its service ends"),
            Cure("use another port", needs=Needs.SETTING),
            Cure("for a listener set SO_REUSEADDR, which ignores TIME_WAIT", needs=Needs.CODE),
            BELOW_THE_RANGE,
        ),
        port_owned,
    ),
    "udp-ports": Cause(
        "the UDP source ports, which all destinations share, are exhausted",
        (
            Cure("use fewer sockets: one UDP socket serves many destinations", needs=Needs.CODE),
            Cure("restart the program that leaks UDP sockets: ss -uanp shows them", "its connections end"),
            WIDER,
        ),
        udp_ports,
    ),
    "privileged": Cause(
        "the port is below net.ipv4.ip_unprivileged_port_start, or a route prohibits the connection",
        (
            Cure("use a port from 1024 on", needs=Needs.SETTING),
            Cure(
                "grant CAP_NET_BIND_SERVICE (setcap, AmbientCapabilities=), or lower ip_unprivileged_port_start",
                "with the latter any user can take these ports",
                Needs.ROOT,
            ),
        ),
        privileged,
    ),
}
