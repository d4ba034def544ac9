"""Why connect() failed with EADDRNOTAVAIL: the use of the ports in numbers, and the likely cause in a sentence."""

from fourtuple.core.backports import Self
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import permits_reuse
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.table import State
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.why.causes import CAUSES
from fourtuple.core.why.causes.ports import TW_REUSE

# The causes and cures are worded for one source address; what they say where there are more.
OF_SEVERAL = (("one source address", "these source addresses"), ("a second source address", "a further source address"))


@dataclass(frozen=True, slots=True)
class Shortage:
    """The use of the 4-tuples from all the sources that were tried to one destination.

    sources:    how many source addresses these are
    usable:     4-tuples that connect() chooses from
    in_use:     usable 4-tuples that are taken
    time_wait:  sockets of these in TIME_WAIT
    close_wait: sockets of these in CLOSE_WAIT
    blocked:    ports of the range held by bind() or listen(), which no destination can use
    suspicious: ports of the range that bind(address, 0) may hold in addition
    left:       4-tuples that are certainly available
    reuses:     whether connect() reuses 4-tuples in TIME_WAIT here, so that no setting has to allow it
    """

    source: str
    destination: str
    sources: int
    usable: int
    in_use: int
    time_wait: int
    close_wait: int
    blocked: int
    suspicious: int
    left: int
    reuses: bool

    @classmethod
    def of(cls, use: PortUse, facts: PortFacts, source: str, destination: str) -> Self:
        """Measure the shortage. use: the port use of the space from the sources to the destination."""
        room = use.room(facts, Strategy.LATE)
        return cls(
            source=source,
            destination=destination,
            sources=use.space.sources.size,
            usable=room.ceiling,
            in_use=room.in_use,
            time_wait=room.waiting,
            close_wait=int((use.towards["state"] == State.CLOSE_WAIT).sum()),
            blocked=room.blocked,
            suspicious=room.unattributed,
            left=room.room.least,
            reuses=permits_reuse(facts, loopback=Endpoint.parse(destination).address.is_loopback),
        )

    @property
    def is_real(self) -> bool:
        """Whether ports were short. Some may have become free since, so any use of them counts."""
        return bool(self.in_use) or self.left < self.usable / 2 or not self.usable

    @property
    def cause(self) -> str:
        """The likely cause, as a key of CAUSES (core/why/causes.py)."""
        if not self.is_real:
            return "no-such-source"
        if max(self.blocked, self.suspicious) > self.in_use:
            return "bound-first"
        if 2 * self.time_wait >= self.in_use:
            return "time-wait"
        if 2 * self.close_wait >= self.in_use:
            return "close-wait"
        return "port-range"

    @property
    def why(self) -> str:
        """The counts, the likely cause and the two best remedies, as sentences."""
        cause = CAUSES[self.cause]
        counts = [f"{self.in_use:,} of {self.usable:,} ports from {self.source} to {self.destination} are in use"]
        if self.time_wait:
            counts.append(f"{self.time_wait:,} of them in TIME_WAIT")
        if self.close_wait:
            counts.append(f"{self.close_wait:,} in CLOSE_WAIT")
        if held := self.blocked + self.suspicious if self.cause == "bound-first" else self.blocked:
            counts.append(f"{held:,} of the range are held by bind(), so no destination can use them")
        again = " Some have become free since then." if self.in_use and 2 * self.in_use < self.usable else ""
        cures = [cure for cure in cause.cures if not (self.reuses and cure is TW_REUSE)]
        do = "; or ".join(cure.do for cure in cures[:2])
        advice = f"Likely cause: {cause.says}. Do: {do}."
        for of_one, of_several in OF_SEVERAL if self.sources > 1 else ():
            advice = advice.replace(of_one, of_several)
        return f"{', '.join(counts)}.{again} {advice}"
