"""Options and orders of runs: values that can be sent to another process or machine.

Options are what the user asks for. An order is the options and every decision made before the first connection: which
4-tuples, which loop, how many workers. `to_text` and `from_text` convert an order to JSON and back.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from fourtuple.core.backports import Self, StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import Memory
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import MOST_STAGES
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.over_unix import check_over_unix
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.require import parse_requirements
from fourtuple.core.runs.slices import Plan
from fourtuple.core.runs.start import Start
from fourtuple.core.space.endpoints import listening, several, unix_names
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.talk.asked import asked
from fourtuple.core.talk.script import Script, Word
from fourtuple.core.talk.session import Scheme, SessionOptions
from fourtuple.core.talk.stages import Stages
from fourtuple.core.units import format_count, format_things

MOST = 2**40  # connections that can be requested
BACKLOG = 65535  # as much as net.core.somaxconn allows: listen(2) clips it
LEAST_TIMEOUT_S = 0.001
HOLD_S = 10.0
EVERY_S = 30.0


class Watch(StrEnum):
    """How a run detects that connections are gone."""

    POLL = "poll"  # each connection is polled: detected at once
    CENSUS = "census"  # the kernel's table is counted periodically; if some are missing, all are checked
    OFF = "off"  # not detected until they are closed


@dataclass(frozen=True, slots=True)
class HoldOptions:
    """The options of `hold`.

    destinations: HOST:PORT or HOST:PORT-PORT; a name means all of its addresses of one IP version. Or unix:NAME
    sources:      ADDRESS, range or network, ADDRESS:PORT[-PORT]; none: as the route determines
    strategy:     None: explicit if `sources` name ports, otherwise late
    first_address: use only the first address of a name
    rate_per_s:   connections to open per second; None: as fast as possible
    hold_s:       how long to hold the connections, once the last one is open; None: HOLD_S, or as the stages say
    stages:       how many connections are to be open at which time; N is the largest of these numbers
    churn_per_s:  connections to replace per second while they are held: closed as planned, and opened again; 0: none
    workers:      processes; None: one for each CPU if there is work for it, and as many as the limit of open files
                  requires
    reset:        close by RST, which leaves no TIME_WAIT; otherwise by FIN
    log:          report every event on a connection
    timeout_s:    a connect() without an answer fails with ETIMEDOUT after this time; data sent must be acknowledged
                  within it, too
    reconnect:    reopen lost connections, at the rate
    script:       what is said and expected on each connection
    every_s:      interval between two messages on a connection, the connections taking turns; 0: send again as soon as
                  the answer arrives; None: 30 s
    fill_memory:  use 98 % of the free memory instead of 90 %: for a host that does nothing else
    anyway:       open as many as possible, even if the plan says that N are not available
    i_own_this_target: allow more than 1,000 connections to a public address of another host
    require:      what has to be met, such as `lost<=1%` (core/runs/require.py); none: all N are held until the end,
                  accepted, and answered as expected
    session:      what runs on each connection
    """

    wanted: int
    destinations: tuple[str, ...]
    sources: tuple[str, ...] = ()
    strategy: Strategy | None = None
    first_address: bool = False
    rate_per_s: float | None = None
    hold_s: float | None = None
    stages: Stages | None = None
    churn_per_s: float = 0.0
    workers: int | None = None
    reset: bool = True
    log: bool = False
    loop: LoopName = LoopName.AUTO
    timeout_s: float = 30.0
    watch: Watch = Watch.POLL
    reconnect: bool = False
    script: Script = Script()
    every_s: float | None = None
    fill_memory: bool = False
    anyway: bool = False
    i_own_this_target: bool = False
    require: tuple[str, ...] = ()
    session: SessionOptions = SessionOptions()

    @classmethod
    def of(
        cls,
        wanted: int,
        destinations: str | Sequence[str],
        *,
        sources: str | Sequence[str] = (),
        require: str | Sequence[str] = (),
        session: Mapping[str, Any] | None = None,
        send: bytes = b"",
        expect: bytes | int | str = b"",
        words: Sequence[Word] | None = None,
        **options: Any,
    ) -> Self:
        """The options for destinations that may be URLs; the arguments are those of `asked` (core/talk/asked.py).

        options: the other fields

        Raises UsageError as `asked` does.
        """
        meant = asked(destinations, session=session, send=send, expect=expect, words=words)
        return cls(
            wanted,
            meant.destinations,
            sources=several(sources),
            require=several(require),
            session=meant.session,
            script=meant.script,
            **options,
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """The destinations as they are shown, with the scheme of the session."""
        return self.session.urls(self.destinations)

    @property
    def run_s(self) -> float:
        """How long the connections are held; with stages, how long these take."""
        if self.stages:
            return self.stages.total_ns / 1e9
        return HOLD_S if self.hold_s is None else self.hold_s

    @property
    def interval_s(self) -> float:
        """How often each connection sends a message, if there is one."""
        return EVERY_S if self.every_s is None else self.every_s

    @property
    def speaks(self) -> bool:
        """Whether messages are sent at intervals: HTTP sends requests in any case."""
        return self.script.message is not None or self.session.scheme.inner is Scheme.HTTP

    @property
    def talks(self) -> bool:
        """Whether something is sent or expected."""
        return self.script != Script() or self.session.scheme is not Scheme.TCP

    def check(self) -> None:
        """Raises UsageError for invalid or contradictory options."""
        if unix_names(self.destinations):
            check_over_unix(self)
        if not 1 <= self.wanted <= MOST:
            raise UsageError(f"{self.wanted:,} connections", f"N must be between 1 and {MOST:,}", "Write 10k, or 1.5M.")
        if self.timeout_s < LEAST_TIMEOUT_S:
            raise UsageError(f"--timeout {self.timeout_s:g}s", "it is too short (at least 1 ms)", "Write 5s.")
        if self.every_s is not None and not self.speaks:
            raise UsageError("--every", "there is no message to send", "Add --send.")
        if self.watch is not Watch.POLL and self.talks:
            what = "--send or --expect" if self.session.scheme is Scheme.TCP else self.session.scheme
            raise UsageError(
                f"--watch {self.watch} with {what}", "replies are seen only by --watch poll", "Leave --watch out."
            )
        parse_requirements(self.require, HoldRecord)
        if self.watch is Watch.OFF and self.reconnect:
            raise UsageError(
                "--watch off with --reconnect", "lost connections are not detected then", "Leave --watch out."
            )
        if self.stages:
            self._check_stages(self.stages)
        if self.watch is Watch.CENSUS and (self.stages or self.churn_per_s):
            other = "--stages" if self.stages else "--churn"
            raise UsageError(f"--watch census with {other}", "the number of connections changes between two counts")

    def _check_stages(self, stages: Stages) -> None:
        if len(stages.ramps) > MOST_STAGES:
            raise UsageError(f"{len(stages.ramps)} stages", f"at most {MOST_STAGES} are possible")
        if self.wanted != stages.most:
            what = f"{format_things(self.wanted, 'connection')} with --stages"
            raise UsageError(what, f"the largest stage has {format_count(stages.most)}", "Leave N out.")
        if self.rate_per_s is not None:
            raise UsageError("--stages with --rate", "the stages say how fast connections are opened", "Leave it out.")
        if self.hold_s is not None:
            raise UsageError("--stages with --for", "the stages say how long the run takes", "Add a stage instead.")


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """Everything that `hold` will do.

    plan:       which worker opens which 4-tuples
    bind:       each socket is bound to its source
    any_source: connections may come from sources outside the plan's space
    here:       both ends of each connection are on this host
    port_range: IP_LOCAL_PORT_RANGE of each socket; None: not set
    script:     that of the options, with the lines of the files that it names
    free:       memory that was free when the order was made
    share:      share of it that the connections may use
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
    script: Script = Script()

    @property
    def ends(self) -> int:
        """How many ends of each connection are in this network namespace."""
        return 2 if self.here else 1


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `serve`.

    where:         HOST:PORT[-PORT]… or unix:NAME
    greet:         message sent to each client when it connects; empty: none
    echo:          send received data back
    close_after_s: close each connection after this time; None: keep it until the client closes
    backlog:       as in listen(2)
    workers:       processes; None: one, doubled whenever they reach the limit of open files, which never happens
                   with the ring
    serve_s:       how long to serve; None: until Ctrl-C
    reset:         close by RST, otherwise by FIN
    log:           report each accept and close
    watch:         how to detect that a client has closed; polling costs about 250 bytes per connection
    require:       what has to be met, as in HoldOptions; none: no worker dies, and every client is accepted
    scheme:        what it speaks; tcp: `greet` and `echo`
    certificate:   of TLS: file with the certificate, and the key if `key` is empty; empty: one is made
    key:           file with its key
    """

    where: tuple[str, ...]
    greet: bytes = b""
    echo: bool = False
    close_after_s: float | None = None
    backlog: int = BACKLOG
    workers: int | None = None
    serve_s: float | None = None
    reset: bool = False
    log: bool = False
    loop: LoopName = LoopName.AUTO
    watch: Watch = Watch.POLL
    require: tuple[str, ...] = ()
    scheme: Scheme = Scheme.TCP
    certificate: str = ""
    key: str = ""

    @classmethod
    def of(cls, where: str | Sequence[str], *, require: str | Sequence[str] = (), **options: Any) -> Self:
        """The options for what may be short: `8000`, `:8000`, `*:8000` (core/space/endpoints.py)."""
        return cls(tuple(map(listening, several(where))), require=several(require), **options)

    @property
    def targets(self) -> tuple[str, ...]:
        """The addresses as they are shown, with the scheme."""
        return SessionOptions(self.scheme).urls(self.where)

    def check(self) -> None:
        """Raises UsageError for invalid or contradictory options."""
        parse_requirements(self.require, ServeRecord)
        if unix_names(self.where):
            if self.log:
                raise UsageError("--log with a Unix socket", "its lines are 4-tuples", "Leave it out.")
            if self.watch is not Watch.POLL:
                why = "the kernel does not list which process a connection to one belongs to"
                raise UsageError(f"--watch {self.watch} with a Unix socket", why, "Use --watch poll.")
        if self.scheme.inner is not Scheme.TCP and (self.greet or self.echo):
            raise UsageError(f"--greet or --echo with {self.scheme}", "it says what its protocol says")
        if self.scheme is not Scheme.TCP and self.watch is not Watch.POLL:
            raise UsageError(
                f"--watch {self.watch} with {self.scheme}",
                "received data is seen only by --watch poll",
                "Leave --watch out.",
            )
        if (self.certificate or self.key) and not self.scheme.secure:
            raise UsageError("--cert and --key", "there is no TLS", "Add --tls.")
        if self.echo and self.watch is not Watch.POLL:
            raise UsageError(
                f"--watch {self.watch} with --echo", "received data is seen only by --watch poll", "Leave --watch out."
            )
        if not self.where:
            raise UsageError("no address to listen on", do="For example, 127.0.0.1:8000.")
        if self.backlog < 0:
            raise UsageError(f"a backlog of {self.backlog} is negative")


@dataclass(frozen=True, slots=True)
class ServeOrder:
    """Everything that `serve` will do.

    workers:  None: one, and more when they are full
    capacity: connections that each can hold
    free:     memory that was free when the order was made
    certificate: PEM with the key, of TLS; empty: none
    """

    options: ServeOptions
    start: Start
    loop: LoopName
    loop_because: str
    workers: int | None
    capacity: int
    free: Memory
    certificate: bytes = b""


T = TypeVar("T")


def to_text(order: Any) -> bytes:
    """The order (HoldOrder, ServeOrder, ChurnOrder) as JSON."""
    return msgspec.json.encode(order, enc_hook=_written)


def from_text(text: bytes, kind: type[T]) -> T:
    """The order that `to_text` wrote. Raises msgspec.DecodeError or ValueError for any other text."""
    return msgspec.json.decode(text, type=kind, dec_hook=_read)


def _written(value: Any) -> Any:
    """Ranges as text: IPv6 addresses exceed the numbers of JSON."""
    if isinstance(value, Ranges):
        return [f"{part.start}-{part.stop}" for part in value.parts]
    if isinstance(value, range):
        return f"{value.start}-{value.stop}"
    raise NotImplementedError(f"{type(value).__name__} cannot be part of an order")


def _read(kind: type, value: Any) -> Any:
    if kind is Ranges:
        return Ranges(map(_range, value))
    if kind is range:
        return _range(value)
    raise NotImplementedError(f"{kind.__name__} cannot be part of an order")


def _range(text: str) -> range:
    start, _, stop = text.partition("-")
    return range(int(start), int(stop))
