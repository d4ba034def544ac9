"""`census`: the use of source ports, from the kernel's socket table, once or repeatedly."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

from fourtuple.core.backports import Unpack
from fourtuple.core.census.records import (
    By,
    Census,
    CensusOf,
    DestinationCount,
    PairCount,
    PortCount,
    ProcessCount,
    Source,
    StateCount,
)
from fourtuple.core.census.usage import Usage
from fourtuple.core.census.view import View
from fourtuple.core.errnos import name_of
from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.nearest import choose_from
from fourtuple.core.snapshot.host import Host
from fourtuple.core.sockets.columns import Mask
from fourtuple.core.sockets.filter import Where
from fourtuple.core.sockets.numbering import HashCollisionError
from fourtuple.core.sockets.owners import NOBODY
from fourtuple.core.sockets.table import State
from fourtuple.core.space.endpoints import several
from fourtuple.core.visible import visible_json
from fourtuple.core.why.alarms import alarms
from fourtuple.verbs.hosts import here

CONNECTED = frozenset(State) - {State.LISTEN}
NAMED = {state.name.replace("_", ""): state for state in CONNECTED - {State.CLOSE, State.NEW_SYN_RECV}}


class CensusOptions(TypedDict, total=False):
    """The other arguments of `census`."""

    sources: str | Sequence[str]
    states: Iterable[State]
    most: int | None
    owners: bool
    rings: bool
    host: Host | None


@overload
def census(
    to: str | Sequence[str] = ..., *, by: Literal[By.PAIR] = ..., **options: Unpack[CensusOptions]
) -> CensusOf[PairCount]: ...
@overload
def census(
    to: str | Sequence[str] = ..., *, by: Literal[By.DESTINATION], **options: Unpack[CensusOptions]
) -> CensusOf[DestinationCount]: ...
@overload
def census(
    to: str | Sequence[str] = ..., *, by: Literal[By.PORT], **options: Unpack[CensusOptions]
) -> CensusOf[PortCount]: ...
@overload
def census(
    to: str | Sequence[str] = ..., *, by: Literal[By.STATE], **options: Unpack[CensusOptions]
) -> CensusOf[StateCount]: ...
@overload
def census(
    to: str | Sequence[str] = ..., *, by: Literal[By.PROCESS], **options: Unpack[CensusOptions]
) -> CensusOf[ProcessCount]: ...
@overload
def census(to: str | Sequence[str] = ..., *, by: By, **options: Unpack[CensusOptions]) -> Census: ...


def census(
    to: str | Sequence[str] = (),
    *,
    sources: str | Sequence[str] = (),
    states: Iterable[State] = CONNECTED,
    by: By = By.PAIR,
    most: int | None = None,
    owners: bool = True,
    rings: bool = False,
    host: Host | None = None,
) -> CensusOf[Any]:
    """Count the TCP sockets of this thread's network namespace, by (source, destination): these pairs run out of ports.

    to:      only connections to these destinations: `10.0.0.9`, `10.0.0.9:80-81`, `10.0.0.0/24`, `:80`; empty: all
    sources: only connections from these addresses; empty: all
    states:  only sockets in these states; the ports left are known only if all states are counted
    by:      the kind of the rows
    most:    at most this number of rows, the fullest first; None: all
    owners:  find the owners of the sockets, in /proc/PID/fd of every process
    rings:   also find the owners of io_uring's direct descriptors (kernel/proc/owners.py)
    host:    as `limits` takes it

    Raises UsageError; CannotError if the socket table cannot be read, or changes too fast to be read.
    """
    return next(censuses(to, sources=sources, states=states, by=by, most=most, owners=owners, rings=rings, host=host))


def censuses(
    to: str | Sequence[str] = (),
    *,
    sources: str | Sequence[str] = (),
    states: Iterable[State] = CONNECTED,
    by: By = By.PAIR,
    most: int | None = None,
    owners: bool = True,
    rings: bool = False,
    host: Host | None = None,
) -> Iterator[Census]:
    """Yield one `census` per request; from the second on, rows include the changes since the previous one."""
    host = host or here()
    to, sources = several(to), several(sources)
    where, states = Where.parse(to, sources), frozenset(states)
    if not where.is_possible:
        wanted = f"--to {', '.join(to)} with --from {', '.join(sources)}"
        raise UsageError(wanted, "no connection has IPv4 at one end and IPv6 at the other", "Use one IP version.")
    before, before_s = None, 0.0
    while True:
        world, motion = host.world(details=False), host.motion()
        now_s = time.monotonic()
        usage, read_from = usage_of(where, states, world.ports, host=host)
        view = View.of(usage, by, most)
        name, time_ = host.taken()
        taken = Source(
            host=name,
            time=time_,
            netns=world.netns,
            kernel=world.kernel,
            read_from=read_from,
            changed=motion.until(host.motion()),
            seconds=time.monotonic() - now_s,
        )
        holders = host.holders(view.inodes, rings=rings) if owners or by is By.PROCESS else NOBODY
        found = view.census(taken, world, holders, before, now_s - before_s, whole=states >= CONNECTED)
        yield replace(found, warnings=alarms(found, world.ports), can_probe=found.can_probe and host.can_test)
        before, before_s = usage, now_s


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
            do = choose_from(name, state_names())
            raise UsageError(f"--state {name!r}", "there is no such state", do) from None
    return frozenset(states) or CONNECTED


def state_names() -> list[str]:
    """The names of the states, as the messages have them."""
    return [state.name.lower().replace("_", "-") for state in sorted(NAMED.values())]


def save(found: Census, file: str) -> None:
    """Write the census to a file as JSON; an existing file is replaced. Raises UsageError."""
    import msgspec

    from fourtuple.verbs.output import write_output

    if file == "-":
        raise UsageError("--save -", "a file name is required", "Use --json to write to standard output.")
    write_output(Path(file), f"{visible_json(msgspec.json.encode(found.to_json()).decode())}\n".encode())


def usage_of(
    where: Where,
    states: frozenset[State],
    facts: PortFacts | None,
    bound: Mask | None = None,
    host: Host | None = None,
) -> tuple[Usage, str]:
    """The usage, and the source it was read from: sock_diag or /proc/net/tcp. Raises CannotError.

    bound: ports known to be named in bind(); None: find them with a dump of their own
    host:  None: this one
    """
    host = host or here()
    automatic = facts.port_range if facts and bound is None else None
    try:
        listeners = host.listeners()
        return host.fold(
            lambda tables: Usage.of(tables, listeners, facts, where, bound), states, where=where, automatic=automatic
        )
    except HashCollisionError:
        raise CannotError("the kernel's socket table", "two pairs have the same hash", "Try again.") from None
    except OSError as error:
        what = f"{error.strerror}, {name_of(error.errno or 0)}"
        raise CannotError(
            "the kernel's socket table", f"neither sock_diag nor /proc/net/tcp is readable ({what})"
        ) from None
