"""What is asked of a run, and what follows from it on this host: values that can be sent to another process or machine.

Options are what the user wants; an order is the options with everything that was decided before the first connection:
which 4-tuples, which loop, how many workers. `to_text` and `from_text` carry an order elsewhere.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import Memory
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.slices import Plan
from fourtuple.core.runs.start import Start
from fourtuple.core.space.ranges import Ranges

MOST = 2**40  # connections that can be asked for
BACKLOG = 65535  # as much as net.core.somaxconn allows: listen(2) clips it
LEAST_TIMEOUT_S = 0.001


class LoopName(StrEnum):
    """What makes the connections."""

    AUTO = "auto"
    RING = "ring"
    EPOLL = "epoll"


class Watch(StrEnum):
    """How a run notices that connections are gone."""

    POLL = "poll"  # each connection is polled: at once
    CENSUS = "census"  # the kernel's table is counted periodically; where some are missing, all are looked at
    OFF = "off"  # not at all, until they are closed


@dataclass(frozen=True, slots=True)
class HoldOptions:
    """What `hold` is to do.

    destinations: HOST:PORT or HOST:PORT-PORT
    sources:      ADDRESS, range or network, ADDRESS:PORT[-PORT]; none: what the route gives
    strategy:     None: explicit where `sources` name ports, late elsewhere
    rate_per_s:   connections to open per second; None: as fast as they open
    hold_s:       how long to hold the connections, from when the last one is open
    workers:      processes; None: one with the ring, else as many as the limit of open files asks for
    reset:        close by RST, which leaves no TIME_WAIT; else by FIN
    log:          an event for everything that happens to a connection
    timeout_s:    a connect() without an answer fails with ETIMEDOUT after that time; what is sent must be acknowledged
                  within it too
    reconnect:    open lost connections again, at the rate
    send:         sent on every connection; empty: nothing
    every_s:      interval between two messages on a connection, the connections one after the other; 0: again as soon
                  as the answer is there; None: 30 s
    expect:       the expected reply to each message, or the greeting where nothing is sent; empty: anything
    fill_memory:  take 98 % of the free memory instead of 90 %: for a host that does nothing else
    anyway:       open as many as possible, even where the plan says that N are not available
    i_own_this_target: allow more than 1,000 connections to a public address of another host
    """

    wanted: int
    destinations: tuple[str, ...]
    sources: tuple[str, ...] = ()
    strategy: Strategy | None = None
    rate_per_s: float | None = None
    hold_s: float = 10.0
    workers: int | None = None
    reset: bool = True
    log: bool = False
    loop: LoopName = LoopName.AUTO
    timeout_s: float = 30.0
    watch: Watch = Watch.POLL
    reconnect: bool = False
    send: bytes = b""
    every_s: float | None = None
    expect: bytes = b""
    fill_memory: bool = False
    anyway: bool = False
    i_own_this_target: bool = False

    @property
    def talks(self) -> bool:
        """Something is sent or expected."""
        return bool(self.send or self.expect)

    def check(self) -> None:
        """Raises UsageError where these options cannot be meant."""
        if not 1 <= self.wanted <= MOST:
            raise UsageError(f"{self.wanted:,} connections", f"from 1 to {MOST:,} can be wanted")
        if self.timeout_s < LEAST_TIMEOUT_S:
            raise UsageError(f"a timeout of {self.timeout_s:g} s", "it is 1 ms or more")
        if self.every_s is not None and not self.send:
            raise UsageError("--every", "nothing is sent", "See --send.")
        if self.watch is not Watch.POLL and self.talks:
            raise UsageError(f"--watch {self.watch} with --send or --expect", "what comes back is seen by polling only")
        if self.watch is Watch.OFF and self.reconnect:
            raise UsageError("--watch off with --reconnect", "what is lost is not noticed then")


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """What `hold` will do, decided in full.

    plan:       which worker opens which 4-tuples
    bind:       each socket is bound to its source
    any_source: connections may come from other sources than the plan's space names
    here:       both ends of each connection are on this host
    port_range: IP_LOCAL_PORT_RANGE of each socket; None: not set
    free:       memory that was free when the order was made
    share:      how much of that the connections may take
    """

    options: HoldOptions
    start: Start
    plan: Plan
    loop: LoopName
    loop_because: str
    bind: bool
    any_source: bool
    here: bool
    port_range: range | None
    free: Memory
    share: float

    @property
    def ends(self) -> int:
        """How many ends of each connection are in this network namespace."""
        return 2 if self.here else 1


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `serve` is to do.

    where:         HOST:PORT[-PORT]…
    greet:         sent to each client at once; empty: nothing
    echo:          send back what comes in
    close_after_s: close each connection after that time; None: keep it until the client closes
    backlog:       as in listen(2)
    workers:       processes; None: one, doubled whenever the limit of open files fills them up, which it does not with
                   the ring
    serve_s:       how long to serve; None: until Ctrl-C
    reset:         close by RST, else by FIN
    log:           an event for each accept and close
    watch:         how it notices that a client has closed; polling costs each connection about 250 bytes
    """

    where: tuple[str, ...]
    greet: str = ""
    echo: bool = False
    close_after_s: float | None = None
    backlog: int = BACKLOG
    workers: int | None = None
    serve_s: float | None = None
    reset: bool = False
    log: bool = False
    loop: LoopName = LoopName.AUTO
    watch: Watch = Watch.POLL

    def check(self) -> None:
        """Raises UsageError where these options cannot be meant."""
        if self.echo and self.watch is not Watch.POLL:
            raise UsageError(f"--watch {self.watch} with --echo", "what comes in is seen by polling only")
        if not self.where:
            raise UsageError("a server", "no address was given", "Write 127.0.0.1:8000.")
        if self.backlog < 0:
            raise UsageError(f"a backlog of {self.backlog}", "it is a number from 0 on")


@dataclass(frozen=True, slots=True)
class ServeOrder:
    """What `serve` will do, decided in full.

    workers: None: one, and more as they fill up
    free:    memory that was free when the order was made
    """

    options: ServeOptions
    start: Start
    loop: LoopName
    loop_because: str
    workers: int | None
    free: Memory


T = TypeVar("T")


def to_text(order: HoldOrder | ServeOrder) -> bytes:
    """The order as JSON."""
    return msgspec.json.encode(order, enc_hook=_written)


def from_text(text: bytes, kind: type[T]) -> T:
    """The order that `to_text` has written. Raises msgspec.DecodeError, ValueError where it is none."""
    return msgspec.json.decode(text, type=kind, dec_hook=_read)


def _written(value: Any) -> Any:
    """Ranges as text: addresses of IPv6 are greater than the numbers of JSON."""
    if isinstance(value, Ranges):
        return [f"{part.start}-{part.stop}" for part in value.parts]
    if isinstance(value, range):
        return f"{value.start}-{value.stop}"
    raise NotImplementedError(f"{type(value).__name__} is no part of an order")


def _read(kind: type, value: Any) -> Any:
    if kind is Ranges:
        return Ranges(map(_range, value))
    if kind is range:
        return _range(value)
    raise NotImplementedError(f"{kind.__name__} is no part of an order")


def _range(text: str) -> range:
    start, _, stop = text.partition("-")
    return range(int(start), int(stop))
