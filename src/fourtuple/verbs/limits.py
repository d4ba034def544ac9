"""`limits`: how many more connections are possible, and which limit decides."""

from collections.abc import Sequence

from fourtuple.core.limits.load import Load
from fourtuple.core.limits.remarks import remarks
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import TIME_WAIT_MS
from fourtuple.core.limits.verdicts import Limits
from fourtuple.core.limits.weigh import bound
from fourtuple.core.snapshot.host import Host
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.verbs.survey import look


def limits(
    destinations: str | Sequence[str] = (),
    *,
    sources: str | Sequence[str] = (),
    strategy: Strategy | None = None,
    first_address: bool = False,
    pid: int | None = None,
    role: Role | None = None,
    probe: bool = False,
    host: Host | None = None,
    load: Load | None = None,
) -> Limits:
    """How many more connections can be opened from here, or accepted.

    destinations: HOST:PORT or HOST:PORT-PORT; none: any destination without a connection. A name means all of its
                  addresses
    sources:      as `hold` takes them
    strategy:     None: explicit if `sources` name ports, else late
    first_address: use only the first address of a name
    pid:          the process whose files, cgroup and listeners count; None: a program started from here
    role:         None: server for a listening process without `destinations`, else client
    probe:        open short connections on 127.0.0.1 to test what the kernel does not report
    host:         the host that is asked (verbs/hosts.py); None: this one
    load:         what each connection sends; None: as assumed in core/limits/load.py

    Ports and sockets are those of the host's network namespace, here this thread's. They are unknown if `pid` is in
    another one.

    Raises UsageError, ShortfallError, CannotError.
    """
    seen = look(
        destinations,
        sources=sources,
        strategy=strategy,
        first_address=first_address,
        pid=pid,
        role=role,
        probe=probe,
        host=host,
        load=load,
    )
    world, ports = seen.world, seen.ports
    room, binding = bound(seen.verdicts)
    because = ports.because if ports else ()
    if room is not None and ports is None and seen.role is Role.CLIENT:
        room, because = Interval(0, room.most), ("nothing tells how many source ports there are, or how many are left",)
    return Limits(
        role=seen.role,
        strategy=seen.strategy,
        pid=world.process.pid,
        process=world.process.name,
        netns=world.netns,
        kernel=world.kernel,
        room=room,
        binding=binding.limit if binding else None,
        exact=bool(binding and binding.exact and room and room.exact and not because),
        because=because,
        full=seen.full,
        waiting=ports.waiting if ports else 0,
        unattributed_ports=ports.unattributed if ports else 0,
        probed=seen.probed,
        sources=Ranges(part for use in seen.uses for part in use.space.sources.parts).size if ports else 0,
        destinations=seen.space.destinations.size if ports else 0,
        pairs=ports.pairs if ports else 0,
        routes=ports.routes if ports else (),
        verdicts=seen.verdicts,
        remarks=remarks(world, seen.uses[0]) if seen.uses else (),
        unknown=world.why_not,
        resolved=seen.resolved,
        can_probe=seen.can_probe,
        behaviours=world.behaviours,
        kept_ms=ports.kept_ms if ports else TIME_WAIT_MS,
    )
