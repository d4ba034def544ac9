"""What a connect() that failed with EADDRNOTAVAIL was short of, in numbers and in a sentence."""

from dataclasses import dataclass
from typing import Self

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.sockets.table import State
from fourtuple.core.why.causes import CAUSES


@dataclass(frozen=True, slots=True)
class Shortage:
    """What there is towards one destination, from all the sources that were tried.

    usable:     4-tuples that connect() chooses from
    in_use:     of them, those that are taken; time_wait: in TIME_WAIT; close_wait: in CLOSE_WAIT
    blocked:    ports of the range that somebody got by bind() or listen(), lost to every destination
    suspicious: … and perhaps got, by bind(address, 0)
    left:       4-tuples that surely are to be had
    """

    source: str
    destination: str
    usable: int
    in_use: int
    time_wait: int
    close_wait: int
    blocked: int
    suspicious: int
    left: int

    @classmethod
    def of(cls, use: PortUse, facts: PortFacts, source: str, destination: str) -> Self:
        """use: of the space from the sources to the destination"""
        room = use.room(facts, Strategy.LATE)
        return cls(
            source=source,
            destination=destination,
            usable=room.ceiling,
            in_use=room.in_use,
            time_wait=room.waiting,
            close_wait=int((use.towards["state"] == State.CLOSE_WAIT).sum()),
            blocked=room.blocked,
            suspicious=room.unattributed,
            left=room.room.least,
        )

    @property
    def is_real(self) -> bool:
        """Was it for want of ports? Some may have become free since: what counts is that they are used at all."""
        return bool(self.in_use) or self.left < self.usable / 2 or not self.usable

    @property
    def cause(self) -> str:
        """One of core/why/causes.py."""
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
        """With what to do about it, the best first."""
        cause = CAUSES[self.cause]
        counts = [f"{self.in_use:,} of {self.usable:,} ports from {self.source} to {self.destination} are in use"]
        if self.time_wait:
            counts.append(f"{self.time_wait:,} of them in TIME_WAIT")
        if self.close_wait:
            counts.append(f"{self.close_wait:,} in CLOSE_WAIT")
        if held := self.blocked + self.suspicious if self.cause == "bound-first" else self.blocked:
            counts.append(f"{held:,} of the range are held by bind(), for every destination")
        again = " Some have become free since." if self.in_use and 2 * self.in_use < self.usable else ""
        return f"{', '.join(counts)}.{again} Likely: {cause.says}. Do: {'; or '.join(cause.do[:2])}."
