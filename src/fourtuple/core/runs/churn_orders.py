"""Options and orders of a churn: connections that are opened at a rate, used, and closed again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from fourtuple.core.backports import Self, StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import Memory
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.orders import LEAST_TIMEOUT_S, MOST
from fourtuple.core.runs.over_unix import check_over_unix
from fourtuple.core.runs.require import parse_requirements
from fourtuple.core.runs.slices import Plan
from fourtuple.core.runs.start import Start
from fourtuple.core.space.endpoints import several, unix_names
from fourtuple.core.talk.arrivals import Arrivals
from fourtuple.core.talk.asked import asked
from fourtuple.core.talk.lifetime import Lifetime, Spreading
from fourtuple.core.talk.script import Script, Word
from fourtuple.core.talk.session import Scheme, SessionOptions
from fourtuple.core.units import format_duration, format_rate

LATE_S = 0.1  # a connection that is started later than this after its moment is late
KEPT_SHARE = 0.99  # of the connections must not be late, or the rate is not kept
SPARE_S = 2.0  # slots are there for connections that last so much longer than their lifetime
SPARE = 64  # and for so many more
MOST_REQUESTS = 2**31
RUN_S = 10.0
AT_ONCE = Lifetime(Spreading.FIXED, 0.0, 0.0)


class ClosedBy(StrEnum):
    """Which end closes a connection first, and how."""

    RST = "rst"  # this end, by a reset: no TIME_WAIT is left
    FIN = "fin"  # this end: its port stays in TIME_WAIT for 60 s
    SERVER = "server"  # the other end: its FIN is waited for


@dataclass(frozen=True, slots=True)
class ChurnOptions:
    """The options of `churn`.

    rate_per_s:   connections that are due per second
    destinations, sources, strategy, first_address, workers, log, anyway, i_own_this_target: as in HoldOptions
    run_s:        connections are due in this time
    lifetime:     how long each connection is open, at least
    even:         they are due at equal distances; otherwise as a Poisson process
    seed:         of all random numbers; None: another one in each run
    requests:     messages on each connection, one after the other
    script:       what is said and expected on each connection; without an expectation, any data is the answer
    closed_by:    which end closes, and how
    at_once:      the most connections at the same time; further ones wait until one is closed; None: as many as the
                  rate and the lifetime require, and some in reserve
    timeout_s:    a connect(), or the exchanges of a connection, that take longer fail with ETIMEDOUT
    require:      what has to be met; none: the rate is kept, nothing fails, and all is answered as expected
    session:      what runs on each connection
    """

    rate_per_s: float
    destinations: tuple[str, ...]
    sources: tuple[str, ...] = ()
    strategy: Strategy | None = None
    first_address: bool = False
    run_s: float = RUN_S
    lifetime: Lifetime = AT_ONCE
    even: bool = False
    seed: int | None = None
    requests: int = 1
    script: Script = Script()
    closed_by: ClosedBy = ClosedBy.RST
    at_once: int | None = None
    timeout_s: float = 10.0
    workers: int | None = None
    log: bool = False
    loop: LoopName = LoopName.AUTO
    anyway: bool = False
    i_own_this_target: bool = False
    require: tuple[str, ...] = ()
    session: SessionOptions = SessionOptions()

    @classmethod
    def of(
        cls,
        rate_per_s: float,
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
            rate_per_s,
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
    def speaks(self) -> bool:
        """Whether messages are sent: HTTP sends requests in any case."""
        return self.script.message is not None or self.session.scheme.inner is Scheme.HTTP

    @property
    def arrivals_expected(self) -> int:
        """How many connections will be due, on average."""
        return ceil(self.rate_per_s * self.run_s)

    @property
    def open_expected(self) -> int:
        """How many are open at the same time, on average, if the other end answers at once (J. Little, 1961)."""
        mean = ceil(self.rate_per_s * min(self.lifetime.mean_s, self.run_s))
        return max(1, mean if self.at_once is None else min(mean, self.at_once))

    @property
    def slots(self) -> int:
        """How many there may be at the same time."""
        most = ceil(self.rate_per_s * min(self.lifetime.mean_s + SPARE_S, self.run_s)) + SPARE
        return most if self.at_once is None else self.at_once

    @property
    def product(self) -> str:
        """How `open_expected` comes about, in words."""
        within = f", within {format_duration(self.run_s)}" if self.lifetime.mean_s > self.run_s else ""
        lifetime = format_duration(self.lifetime.mean_s) if self.lifetime.mean_s else "0 s"
        return f"{format_rate(self.rate_per_s)} × {lifetime}{within}"

    def at(self, rate_per_s: float) -> "ChurnOptions":
        """The same options at another rate."""
        return replace(self, rate_per_s=rate_per_s)

    def check(self) -> None:
        """Raises UsageError for invalid or contradictory options."""
        if unix_names(self.destinations):
            check_over_unix(self)
        if self.arrivals_expected > MOST:
            raise UsageError(f"{self.arrivals_expected:,} connections", f"at most {MOST:,} in a run")
        if self.run_s <= 0:
            raise UsageError("--for 0s", "connections are due in this time", "Write --for 10s.")
        if self.timeout_s < LEAST_TIMEOUT_S:
            raise UsageError(f"--timeout {self.timeout_s:g}s", "it is too short (at least 1 ms)", "Write 5s.")
        if not 1 <= self.requests <= MOST_REQUESTS:
            raise UsageError(f"--requests {self.requests}", f"between 1 and {MOST_REQUESTS:,} are possible")
        if self.at_once is not None and self.at_once < 1:
            raise UsageError("--at-once 0", "no connection could be opened then")
        if self.requests > 1 and not self.speaks:
            raise UsageError(f"--requests {self.requests}", "there is no message to send", "Add --send.")
        if self.closed_by is ClosedBy.SERVER and self.lifetime.mean_s:
            raise UsageError("--lifetime with --close server", "the server decides when it closes", "Use one of them.")
        parse_requirements(self.require, ChurnRecord)


@dataclass(frozen=True, slots=True)
class PortRate:
    """The rate that the ports allow if this end closes by FIN.

    kept_s:      how long a closed connection keeps its 4-tuple from connect()
    most_per_s:  connections per second, for ever, if every port in doubt is free
    most:        connections until the first 4-tuples can be used again, if every port in doubt is free
    """

    kept_s: float
    most_per_s: float
    most: int


@dataclass(frozen=True, slots=True)
class ChurnOrder:
    """Everything that `churn` will do.

    plan:      how many connections there may be at once, and which worker uses which 4-tuples
    seed:      of all random numbers
    ports:     the rate that the ports allow; None: this end does not close by FIN, and any rate is possible
    bind, here, port_range, free, share, script: as in HoldOrder
    """

    options: ChurnOptions
    start: Start
    plan: Plan
    seed: int
    ports: PortRate | None
    loop: LoopName
    loop_because: str
    bind: bool
    here: bool
    port_range: range | None
    free: Memory
    share: float
    script: Script = Script()

    @property
    def arrivals(self) -> Arrivals:
        """When connections are due."""
        return Arrivals(self.options.rate_per_s, self.options.even, self.seed)

    @property
    def ends(self) -> int:
        """How many ends of each connection are in this network namespace."""
        return 2 if self.here else 1
