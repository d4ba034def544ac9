"""`why`: what somebody saw, explained by what this host says."""

import errno
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from fourtuple.core.causes import Scene
from fourtuple.core.census import SOCKET, Sockets, State, four_tuples, full_queues, mapped
from fourtuple.core.endpoints import Endpoint
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.pairs import SAMPLE, Pair, busiest_pairs
from fourtuple.core.why import Why, judge, read_saying
from fourtuple.kernel import addresses
from fourtuple.kernel.owners import owners_of
from fourtuple.kernel.sockdiag import fold_sockets
from fourtuple.kernel.world import NOTHING, read_sysctl
from fourtuple.verbs.look import Look, look, queue_of

IPV6_OFF = "net.ipv6.conf.all.disable_ipv6"
MOST_PAIRS = 1000  # among which the target is looked for
MOST_HOLDERS, MOST_OWNERS, MOST_FULL = 4, 3, 4


def why(
    what: str,
    *,
    destination: str | None = None,
    pid: int | None = None,
    outside: Mapping[str, str] = NOTHING,
) -> Why:
    """The likely causes of what somebody saw, best first, each with the evidence from this host.

    what:        a number where connections stop, an errno, a line of a log or a traceback
    destination: ADDRESS:PORT that it is about; None: what the text names
    pid:         whose files, cgroup and namespace
    outside:     as `limits` takes it

    Raises UsageError, CannotError.
    """
    saying = read_saying(what)
    if destination is not None:
        saying = replace(saying, target=str(Endpoint.parse(destination)))
    (pairs, rows), by = fold_sockets(_fold, State)
    whose = pid or (_server(rows, saying.target) if saying.errno == errno.EMFILE and saying.target else None)
    seen, target = _look(saying.target, whose, outside)
    leaks, listening = (rows[rows["state"] == state] for state in (State.CLOSE_WAIT, State.LISTEN))
    pair = _pair(pairs, target)
    sysctls = dict(seen.world.sysctls) | {IPV6_OFF: read_sysctl(IPV6_OFF)}
    scene = Scene(
        world=replace(seen.world, sysctls=sysctls),
        number=saying.number,
        errno=saying.errno,
        call=saying.call,
        port=saying.port,
        target=target,
        pair=pair,
        owners=_owners(pair.inodes) if pair else "",
        ports=seen.ports,
        queue=queue_of(listening, by),
        full=full_queues(listening)[:MOST_FULL],
        local=None if target is None else addresses.is_local(Endpoint.parse(target).address),
        listens=None if target is None else _listens(rows, Endpoint.parse(target)),
        holders=tuple(_holders(rows, saying.port)) if saying.port else (),
        close_wait=len(leaks),
        close_wait_owners=_owners(leaks["inode"][:SAMPLE].tolist()) if len(leaks) else "",
        asked=whose is not None,
    )
    ceilings = {verdict.limit: verdict.ceiling for verdict in seen.verdicts if verdict.ceiling}
    return judge(replace(saying, target=target), scene, ceilings, seen.world.why_not)


def _look(target: str | None, pid: int | None, outside: Mapping[str, str]) -> tuple[Look, str | None]:
    """With the target, if there is a way to it; the world is worth a look all the same."""
    if target is not None:
        try:
            return look([target], pid=pid, outside=outside), target
        except (ShortfallError, UsageError):
            pass
    return look(pid=pid, outside=outside), target


def _server(rows: Sockets, target: str) -> int | None:
    """The process that listens there, as far as this user may see."""
    end = Endpoint.parse(target)
    if not addresses.is_local(end.address):
        return None
    listens = rows[(rows["state"] == State.LISTEN) & (rows["local_port"] == end.port)]
    found = owners_of(listens["inode"].tolist()).most_common(1)
    return found[0][0][0] if found else None


def _fold(tables: Iterable[Sockets]) -> tuple[tuple[Pair, ...], Sockets]:
    rows = np.concatenate([np.zeros(0, SOCKET), *tables])
    return busiest_pairs([rows], MOST_PAIRS), rows


def _pair(pairs: Iterable[Pair], target: str | None) -> Pair | None:
    """The busiest, or the busiest to the target."""
    return next((pair for pair in pairs if target in (None, pair.destination)), None)


def _owners(inodes: Iterable[int]) -> str:
    found = owners_of(inodes).most_common(MOST_OWNERS)
    return ", ".join(f"{name} ({pid})" for (pid, name), _ in found)


def _listens(rows: Sockets, target: Endpoint) -> bool | None:
    """None where the target is not of this host, whose listeners are not to be seen."""
    if not addresses.is_local(target.address):
        return None
    listens = rows[(rows["state"] == State.LISTEN) & (rows["local_port"] == target.port)]
    theirs = {row.tobytes() for row in listens["local"]}
    any_address = {bytes(16), mapped(ipaddress.IPv4Address(0))}
    return bool(theirs & (any_address | {mapped(target.address)}))


def _holders(rows: Sockets, port: int) -> Iterable[str]:
    held = rows[rows["local_port"] == port]
    listens = held["state"] == State.LISTEN
    for row in [*held[listens], *held[~listens]][:MOST_HOLDERS]:
        ends = four_tuples(np.array([row]))[0]
        state = State(int(row["state"])).name
        where = f"{ends.source}" if row["state"] in (State.LISTEN, State.CLOSE) else f"{ends}"
        who = _owners([int(row["inode"])]) if row["inode"] else ""
        yield f"{'bound' if state == 'CLOSE' else state} {where}{f', {who}' if who else ''}"
    if len(held) > MOST_HOLDERS:
        yield f"{len(held) - MOST_HOLDERS:,} more"
