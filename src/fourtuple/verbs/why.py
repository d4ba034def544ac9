"""`why`: explain a failure by the evidence on this host."""

import errno
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from fourtuple.core.census.records import By, Census, PairCount, Source
from fourtuple.core.census.usage import Usage
from fourtuple.core.census.view import View
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.owners import Holders, Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCKET, Sockets, State, four_tuples, full_queues, mapped, recast
from fourtuple.core.space.endpoints import Endpoint, EndpointSpec, Resolved
from fourtuple.core.why.causes import Scene
from fourtuple.core.why.judge import Why, judge
from fourtuple.core.why.saying import read_saying
from fourtuple.kernel import addresses
from fourtuple.kernel.netlink.sockdiag import fold_sockets, read_listeners
from fourtuple.kernel.proc.owners import read_holders
from fourtuple.kernel.proc.sysctl import NOTHING, read_sysctl
from fourtuple.verbs.census import CONNECTED
from fourtuple.verbs.survey import Look, look, queue_of

IPV6_OFF = "net.ipv6.conf.all.disable_ipv6"
MOST_PAIRS = 1000  # pairs that are searched for the target
MOST_HOLDERS, MOST_OWNERS, MOST_FULL = 4, 3, 4


def why(
    what: str,
    *,
    destination: str | None = None,
    first_address: bool = False,
    pid: int | None = None,
    outside: Mapping[str, str] = NOTHING,
) -> Why:
    """Find the likely causes of a failure, the likeliest first, each with the evidence from this host.

    what:        the number of connections at which they stop, an errno, a log line or a traceback
    destination: HOST:PORT of the failed connections; None: the one that `what` names, if any. Of a name that has
                 several addresses, the one with the least room is examined
    first_address: examine the first address of a name instead
    pid:         the process whose files, cgroup and namespace count; None: for EMFILE the process that
                 listens at the destination, if it is visible; else a program started from here
    outside:     as `limits` takes it

    Raises UsageError, CannotError.
    """
    saying = read_saying(what)
    resolved: tuple[Resolved, ...] = ()
    if destination is not None:
        end, resolved = _destination(destination, first_address=first_address)
        saying = replace(saying, target=str(end))
    listeners = read_listeners()
    (usage, on_port), by = fold_sockets(partial(_fold, listeners, saying.port), CONNECTED)
    view = View.of(usage, By.PAIR, MOST_PAIRS)
    holders = read_holders(np.concatenate([view.inodes, on_port["inode"]]))
    whose = pid or (_server(listeners, saying.target, holders) if saying.errno == errno.EMFILE else None)
    seen, target = _look(saying.target, whose, outside)
    found = view.census(Source("", "", seen.world.netns, seen.world.kernel, by, None, 0), seen.world, holders)
    pair = _pair(found, target)
    sysctls = dict(seen.world.sysctls) | {IPV6_OFF: read_sysctl(IPV6_OFF)}
    scene = Scene(
        world=replace(seen.world, sysctls=sysctls),
        number=saying.number,
        errno=saying.errno,
        call=saying.call,
        port=saying.port,
        target=target,
        pair=pair,
        owners=str(pair.owners) if pair else "",
        ports=seen.ports,
        queue=queue_of(listeners, by),
        full=full_queues(listeners)[:MOST_FULL],
        local=None if target is None else addresses.is_local(Endpoint.parse(target).address),
        listens=None if target is None else _listens(listeners, Endpoint.parse(target)),
        holders=tuple(_holders(on_port, holders)),
        close_wait=found.sockets.get(State.CLOSE_WAIT.name, 0),
        close_wait_owners=", ".join(filter(None, (str(leak.owners) for leak in found.leaks[:MOST_OWNERS]))),
        asked=whose is not None,
    )
    ceilings = {verdict.limit: verdict.ceiling for verdict in seen.verdicts if verdict.ceiling}
    return replace(judge(replace(saying, target=target), scene, ceilings, seen.world.why_not), resolved=resolved)


def _destination(text: str, *, first_address: bool) -> tuple[Endpoint, tuple[Resolved, ...]]:
    """The endpoint to be examined, and its name: of several addresses the one with the least room.

    Raises UsageError.
    """
    spec = EndpointSpec.parse(text)
    if spec.ports is None or len(spec.ports) != 1:
        return Endpoint.parse(text), ()  # raises
    found = addresses.resolve(spec)
    first = Endpoint(found[0], spec.ports[0])
    if len(found) == 1:
        return first, ()
    try:
        seen = look([text], first_address=first_address)
    except ShortfallError:  # no way there, which may be the failure in question
        return first, ()
    if not seen.resolved or seen.ports is None:
        return first, seen.resolved
    fullest = min(seen.ports.routes, key=lambda route: (route.room.least, route.room.most))
    return Endpoint.parse(str(fullest.destination)), seen.resolved


def _look(target: str | None, pid: int | None, outside: Mapping[str, str]) -> tuple[Look, str | None]:
    """Survey the host with the target if it is reachable, otherwise without it."""
    if target is not None:
        try:
            return look([target], pid=pid, outside=outside), target
        except (ShortfallError, UsageError):
            pass
    return look(pid=pid, outside=outside), target


def _server(listeners: Sockets, target: str | None, holders: Holders) -> int | None:
    """The PID of the process that listens at the target; None: there is none, or this user may not see it."""
    if target is None or not addresses.is_local(Endpoint.parse(target).address):
        return None
    listens = listeners[listeners["local_port"] == Endpoint.parse(target).port]
    found = _owners(listens, holders).processes
    return found[0].pid if found else None


def _fold(listeners: Sockets, port: int | None, tables: Iterable[Sockets]) -> tuple[Usage, Sockets]:
    """The usage, and the sockets with this local port, listeners first."""
    kept = [recast(listeners[listeners["local_port"] == port], SOCKET)]

    def passed() -> Iterator[Sockets]:
        for table in tables:
            kept.append(table[table["local_port"] == port])
            yield table

    usage = Usage.of(passed(), listeners, None, EVERYWHERE)
    return usage, np.concatenate(kept)


def _pair(found: Census, target: str | None) -> PairCount | None:
    """The busiest pair that this host opened, or the busiest to the target; None: there is none."""
    pairs = (row for row in found.rows if isinstance(row, PairCount) and row.role is Role.CLIENT)
    return next((pair for pair in pairs if target in (None, pair.destination)), None)


def _owners(sockets: Sockets, holders: Holders) -> Owners:
    """The owners of all these sockets together."""
    return holders.owners(np.zeros(len(sockets), np.int64), sockets["inode"], sockets["uid"], 1)[0]


def _listens(listeners: Sockets, target: Endpoint) -> bool | None:
    """Whether a socket listens at the target; None: the target is on another host, whose listeners are not visible."""
    if not addresses.is_local(target.address):
        return None
    listens = listeners[listeners["local_port"] == target.port]
    theirs = {row.tobytes() for row in listens["local"]}
    any_address = {bytes(16), mapped(ipaddress.IPv4Address(0))}
    return bool(theirs & (any_address | {mapped(target.address)}))


def _holders(on_port: Sockets, holders: Holders) -> Iterator[str]:
    """Describe the first sockets that hold the port, and count the others."""
    for number, ends in enumerate(four_tuples(on_port[:MOST_HOLDERS])):
        state = State(int(on_port["state"][number]))
        where = f"{ends.source}" if state in (State.LISTEN, State.CLOSE) else f"{ends}"
        who = str(_owners(on_port[number : number + 1], holders))
        yield f"{'bound' if state is State.CLOSE else state.name} {where}{f', {who}' if who else ''}"
    if len(on_port) > MOST_HOLDERS:
        yield f"{len(on_port) - MOST_HOLDERS:,} more"
