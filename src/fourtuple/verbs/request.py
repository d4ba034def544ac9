"""The tuple space for destinations and sources as typed, with names resolved and addresses checked, and its use."""

import ipaddress
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fourtuple.core.errnos import name_of
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.snapshot.host import Host
from fourtuple.core.sockets.columns import in_states
from fourtuple.core.sockets.table import State
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec, Resolved, is_wildcard, parse_addresses
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import Destinations, TupleSpace
from fourtuple.verbs.hosts import here

MOST_PAIRS = 2**32
MOST_ADDRESSES = 4096  # destination addresses whose routes are looked up
Resolver = Callable[[EndpointSpec], list[Address]]


def space_of(
    facts: PortFacts,
    destinations: Sequence[str],
    sources: Sequence[str],
    strategy: Strategy | None,
    host: Host | None = None,
    *,
    first_address: bool = False,
    on_paper: bool = False,
) -> tuple[TupleSpace, Strategy, tuple[Resolved, ...]]:
    """The tuple space for the options as typed, without reading what is in use, its strategy, and the resolved names.

    destinations, sources, strategy, first_address: as `hold` takes them
    host:     whose routes and addresses count; None: this one's
    on_paper: source addresses need not be on that host

    Raises UsageError, or ShortfallError if there is no route to a destination.
    """
    host = host or here()
    source_specs = [EndpointSpec.parse(source) for source in sources]
    port_parts = [spec.ports for spec in source_specs if spec.ports is not None]
    if port_parts and (len(port_parts) != len(sources) or len({*port_parts}) > 1):
        raise UsageError(
            "source ports", "every --from must name the same ports, or none", "Write the ports to each, or to none."
        )
    strategy = strategy or (Strategy.EXPLICIT if port_parts else Strategy.LATE)
    if port_parts and strategy is not Strategy.EXPLICIT:
        raise UsageError(
            f"--strategy {strategy} from {sources[0]}",
            "the kernel chooses the ports then",
            "Leave the port out, or use --strategy explicit.",
        )
    if sources and strategy is Strategy.PLAIN:
        raise UsageError("--strategy plain with --from", "plain never binds", "Use --strategy noport or late.")
    if not destinations:
        raise UsageError("connections", "no destination was given", "Write 127.0.0.1:8000.")
    wanted_version = parse_addresses(source_specs[0].host)[0] if source_specs else None
    endpoints, resolved = _endpoints(destinations, wanted_version, host.resolve, first_address=first_address)
    source_hosts = [spec.host for spec in source_specs]
    if not source_hosts:
        source_hosts = list(dict.fromkeys(str(_source_towards(host, address, ports)) for address, ports in endpoints))
        if strategy is Strategy.EXPLICIT and len(source_hosts) > 1:
            several = f"the destinations are reached from different sources: {', '.join(source_hosts)}"
            raise UsageError("--strategy explicit", several, "Name the source (--from).")
        source_hosts = source_hosts[:1]  # with any other strategy the route gives each destination its source
    automatic = strategy is not Strategy.EXPLICIT
    for address, _ in endpoints:
        if address.is_multicast:
            raise UsageError(f"a destination: {address}", "it is a multicast address")
    space = TupleSpace.of(
        source_hosts,
        Ranges(port_parts) if port_parts else facts.automatic_ports if automatic else Ranges([facts.port_range]),
        [str(EndpointSpec(str(address), ports)) for address, ports in endpoints],
    )
    if space.pairs > MOST_PAIRS:
        raise UsageError(
            f"{space.pairs:,} pairs of a source address and a destination", f"at most {MOST_PAIRS:,} are possible"
        )
    if not on_paper and (absent := next(absent_sources(space, host), None)):
        raise UsageError(
            f"the source address {absent}",
            "this host does not have it (bind: EADDRNOTAVAIL 99)",
            "Use one that `ip address` shows, any of 127.0.0.0/8 towards loopback, or add it.",
        )
    _check_loopback(host, space)
    return space, strategy, resolved


def _check_loopback(host: Host, space: TupleSpace) -> None:
    """Raises UsageError for a loopback source with a destination that is not on this host."""
    first = space.address(space.sources[0])
    if not first.is_loopback:
        return
    for values, _ in space.destinations.parts:
        for target in map(space.address, itertools.islice(values, MOST_ADDRESSES)):
            if not target.is_loopback and not host.is_local(target):
                raise UsageError(
                    f"the source address {first} towards {target}",
                    "a loopback address leads to this host only (connect: EINVAL)",
                    "Leave --from out, or name another.",
                )


def _source_towards(host: Host, address: Address, ports: range) -> Address:
    try:
        return host.source_towards(Endpoint(address, ports.start))
    except OSError as error:
        raise ShortfallError(
            f"a connection to {address}", f"no way there: {error.strerror} ({name_of(error.errno or 0)})"
        ) from None


def absent_sources(space: TupleSpace, host: Host) -> Iterator[Address]:
    """Source addresses that this host does not have; of a long range only the first and the last are checked."""
    for part in space.sources.parts:
        for value in part if part.stop - part.start <= 256 else (part.start, part.stop - 1):
            if not host.is_source(space.address(value)):
                yield space.address(value)


def by_source(space: TupleSpace, sources: Sequence[str], host: Host) -> list[TupleSpace]:
    """The space itself if `sources` are given, else one space for each source that the routes determine."""
    if sources:
        return [space]
    found: dict[Address, list[tuple[range, range]]] = {}
    for values, ports in space.destinations.parts:
        for value in itertools.islice(values, MOST_ADDRESSES):
            source = _source_towards(host, space.address(value), ports.parts[0])
            found.setdefault(source, []).extend((range(value, value + 1), part) for part in ports.parts)
    if len(found) == 1:
        return [space]
    return [
        replace(space, sources=Ranges([range(int(source), int(source) + 1)]), destinations=Destinations.of(parts))
        for source, parts in found.items()
    ]


def use_of(space: TupleSpace, facts: PortFacts, host: Host | None = None) -> tuple[PortUse, str]:
    """How the sockets of the host's network namespace use the ports of the space, and the source of that listing.

    host: None: this one
    """
    asked = [facts.port_range, *space.ports.parts]
    ports = range(min(part.start for part in asked), max(part.stop for part in asked))
    return (host or here()).fold(lambda tables: PortUse.of(tables, space), State, automatic=ports, others=False)


def usable(space: TupleSpace, use: PortUse, strategy: Strategy, wanted: int) -> TupleSpace:
    """The space without the ports that listening or bound sockets occupy.

    Automatic choice skips these ports on any address. An explicit bind() is stopped only by sockets on its own
    addresses or the wildcard. The kernel does not report whether connected sockets there share their ports, so these
    ports are left out too if enough remain.
    """
    if strategy is not Strategy.EXPLICIT:
        return space.without_ports(np.flatnonzero(use.bound).tolist())
    quiet = space.without_ports(np.flatnonzero(use.owned).tolist())
    held = use.local[in_states(use.local["state"], (State.LISTEN, State.CLOSE))]
    return quiet if quiet.size >= wanted else space.without_ports(held["local_port"].tolist())


def _endpoints(
    destinations: Sequence[str], version: int | None, resolve: Resolver, *, first_address: bool
) -> tuple[list[tuple[Address, range]], tuple[Resolved, ...]]:
    """Addresses and ports of the destinations, all of one IP version that every destination has, and the names.

    A name means all of its addresses of that version, or only the first. The wildcard means this host, as a name would.
    Raises UsageError.
    """
    found: list[tuple[str, list[Address], range]] = []
    for text in destinations:
        spec = EndpointSpec.parse(text)
        if spec.ports is None:
            raise spec.no_port("destination", text)
        found.append((spec.host, list(dict.fromkeys(map(_meant, resolve(spec)))), spec.ports))
    shared = set.intersection(*({address.version for address in each} for _, each, _ in found))
    chosen = version or next((address.version for address in found[0][1] if address.version in shared), None)
    endpoints: list[tuple[Address, range]] = []
    resolved: dict[str, Resolved] = {}
    for host, each, ports in found:
        possible = [address for address in each if address.version == chosen] or each[:1]
        used = possible[:1] if first_address else possible
        endpoints += [(address, ports) for address in used]
        one_each = len(each) == len({address.version for address in each})  # as usual, for example of localhost
        if not one_each or is_wildcard(host):
            resolved[host] = Resolved(host, tuple(map(str, each)), tuple(map(str, used)))
    if len({address.version for address, _ in endpoints} | ({version} - {None})) > 1:
        raise UsageError(
            "these destinations", "their addresses mix IPv4 and IPv6", "Ask for each IP version by itself."
        )
    return endpoints, tuple(resolved.values())


def _meant(address: Address) -> Address:
    """The address that connect(2) uses: this host for 0.0.0.0 and ::, and a.b.c.d for ::ffff:a.b.c.d."""
    if address.is_unspecified:
        return ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
