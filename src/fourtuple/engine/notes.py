"""What is to be logged of each connection. Its ends are remembered, for a socket that was reset knows them no more."""

from collections.abc import Iterable

from fourtuple.core.endpoints import FourTuple
from fourtuple.core.run import Event
from fourtuple.engine.loop import Loop

DETAIL = 200  # characters


class Notes:
    """log: False takes no notes, and costs nothing for a connection"""

    def __init__(self, loop: Loop, *, log: bool) -> None:
        self._loop, self._log = loop, log
        self._ends: dict[int, FourTuple] = {}
        self._events: list[Event] = []

    def begin(self, kind: str, slots: Iterable[int]) -> None:
        for slot in slots if self._log else ():
            if four_tuple := self._loop.describe(int(slot)):
                self._ends[int(slot)] = four_tuple
                self._events.append(Event(kind, four_tuple))

    def add(self, kind: str, slot: int, detail: str) -> None:
        if self._log and int(slot) in self._ends:
            self._events.append(Event(kind, self._ends[int(slot)], detail[:DETAIL]))

    def end(self, kind: str, slots: Iterable[int], detail: str = "") -> None:
        for slot in slots if self._log else ():
            self.add(kind, slot, detail)
            self._ends.pop(int(slot), None)

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events
