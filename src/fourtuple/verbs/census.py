"""`census`: the use of source ports, from the kernel's socket table: once, repeatedly, or in every namespace."""

import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import msgspec

from fourtuple.core.census.records import By, Census, Source
from fourtuple.core.census.usage import HashCollisionError, Usage
from fourtuple.core.census.view import View
from fourtuple.core.errnos import name_of
from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.runs.run import Run
from fourtuple.core.sockets.columns import Mask
from fourtuple.core.sockets.filter import Where
from fourtuple.core.sockets.owners import NOBODY
from fourtuple.core.sockets.table import State
from fourtuple.core.visible import visible_json
from fourtuple.core.why.alarms import alarms
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets, read_listeners
from fourtuple.kernel.netns import Place, own_netns, places
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.netstat import read_motion
from fourtuple.kernel.proc.owners import read_holders
from fourtuple.kernel.proc.sysctl import NOTHING, host_sysctls
from fourtuple.kernel.proc.world import read_world
from fourtuple.verbs.output import write_output

CONNECTED = frozenset(State) - {State.LISTEN}
NAMED = {state.name.replace("_", ""): state for state in CONNECTED - {State.CLOSE, State.NEW_SYN_RECV}}


def census(
    to: Sequence[str] = (),
    *,
    sources: Sequence[str] = (),
    states: Iterable[State] = CONNECTED,
    by: By = By.PAIR,
    most: int | None = None,
    owners: bool = True,
    rings: bool = False,
    outside: Mapping[str, str] = NOTHING,
) -> Census:
    """Count the TCP sockets of this thread's network namespace, by (source, destination): these pairs run out of ports.

    to:      only connections to these destinations: `10.0.0.9`, `10.0.0.9:80-81`, `10.0.0.0/24`, `:80`; empty: all
    sources: only connections from these addresses; empty: all
    states:  only sockets in these states; the ports left are known only if all states are counted
    by:      the kind of the rows
    most:    at most this number of rows, the fullest first; None: all
    owners:  find the owners of the sockets, in /proc/PID/fd of every process
    rings:   also find the owners of io_uring's direct descriptors (kernel/proc/owners.py)
    outside: as `limits` takes it

    Raises UsageError; CannotError if the socket table cannot be read, or changes too fast to be read.
    """
    return next(
        censuses(to, sources=sources, states=states, by=by, most=most, owners=owners, rings=rings, outside=outside)
    )


def censuses(
    to: Sequence[str] = (),
    *,
    sources: Sequence[str] = (),
    states: Iterable[State] = CONNECTED,
    by: By = By.PAIR,
    most: int | None = None,
    owners: bool = True,
    rings: bool = False,
    outside: Mapping[str, str] = NOTHING,
) -> Iterator[Census]:
    """Yield one `census` per request; from the second on, rows include the changes since the previous one."""
    where, states = Where.parse(to, sources), frozenset(states)
    before, before_s = None, 0.0
    while True:
        world, motion = read_world(SYSCTLS, known=behaviours(), details=False, outside=outside), read_motion()
        now_s = time.monotonic()
        usage, read_from = usage_of(where, states, world.ports)
        view = View.of(usage, by, most)
        taken = Source(
            host=os.uname().nodename,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            netns=world.netns,
            kernel=world.kernel,
            read_from=read_from,
            changed=motion.until(read_motion()),
            seconds=time.monotonic() - now_s,
        )
        holders = read_holders(view.inodes, rings=rings) if owners or by is By.PROCESS else NOBODY
        found = view.census(taken, world, holders, before, now_s - before_s, whole=states >= CONNECTED)
        yield replace(found, warnings=alarms(found, world.ports))
        before, before_s = usage, now_s


def census_everywhere(**options: object) -> Run[tuple[Place, Census | FourtupleError], int]:
    """Take a `census` with these options in each network namespace visible to this user, this process's own first.

    The result of the run is the number of namespaces that this user cannot see.
    """
    return Run(_everywhere(options))


def _everywhere(options: dict[str, object]) -> Generator[tuple[Place, Census | FourtupleError], None, int]:
    outside = host_sysctls(SYSCTLS)
    found, closed = places()
    for place in found:
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as other:
            try:
                counted = other.submit(_census_in, place, options | {"outside": outside}).result()
            except FourtupleError as error:
                yield place, error
                continue
        if counted is not None:
            yield place, replace(counted, taken=replace(counted.taken, name=place.name))
    return closed


def states_named(names: Iterable[str]) -> frozenset[State]:
    """The states with these names, such as `established`, `TIME_WAIT` or `time-wait`; no names: all but LISTEN.

    Raises UsageError.
    """
    states = set()
    for name in names:
        try:
            plain = "".join(filter(str.isalnum, name)).upper()
            states.add(NAMED[{"ESTAB": "ESTABLISHED"}.get(plain, plain)])
        except KeyError:
            known = ", ".join(state.name.lower().replace("_", "-") for state in sorted(NAMED.values()))
            raise UsageError(f"unknown state {name!r}", do=f"Use one of {known}.") from None
    return frozenset(states) or CONNECTED


def save(found: Census, file: str) -> None:
    """Write the census to a file as JSON; an existing file is replaced. Raises UsageError."""
    if file == "-":
        raise UsageError("--save -", "a file name is required", "Use --json to write to standard output.")
    write_output(Path(file), f"{visible_json(msgspec.json.encode(found.to_json()).decode())}\n".encode())


def _census_in(place: Place, options: Mapping[str, object]) -> Census | None:
    """Count in that namespace; None: it no longer exists.

    This runs in a process of its own, because a process may be unable to return from the namespace that it entered.
    """
    if place.netns != own_netns():
        try:
            place.enter()
        except PermissionError as error:
            raise CannotError(
                f"the network namespace {place.name}", f"{error.strerror}: entering it needs root"
            ) from None
        except OSError:
            return None
    return census(**options)  # type: ignore[arg-type]


def usage_of(
    where: Where, states: frozenset[State], facts: PortFacts | None, bound: Mask | None = None
) -> tuple[Usage, str]:
    """The usage, and the source it was read from: sock_diag or /proc/net/tcp. Raises CannotError.

    bound: ports known to be named in bind(); None: find them with a dump of their own
    """
    asked = Asked(automatic=facts.port_range if facts and bound is None else None, where=where)
    try:
        listeners = read_listeners()
        return fold_sockets(lambda tables: Usage.of(tables, listeners, facts, where, bound), states, asked)
    except HashCollisionError:
        raise CannotError("the kernel's socket table", "two pairs have the same hash", "Try again.") from None
    except OSError as error:
        what = f"{error.strerror}, {name_of(error.errno or 0)}"
        raise CannotError(
            "the kernel's socket table", f"neither sock_diag nor /proc/net/tcp is readable ({what})"
        ) from None
