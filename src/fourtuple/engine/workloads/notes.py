"""What is logged of each connection. Its 4-tuple is remembered, because a socket that was reset cannot report it."""

from fourtuple.core.errnos import name_of
from fourtuple.core.runs.records import Event
from fourtuple.core.space.endpoints import FourTuple
from fourtuple.engine.loops.contract import Completions, Loop, Slots

DETAIL = 200  # characters


class Notes:
    """Collects the events of connections; log: False records nothing, and costs nothing per connection."""

    def __init__(self, loop: Loop, *, log: bool) -> None:
        self.log = log
        self._loop = loop
        self._ends: dict[int, FourTuple] = {}
        self._events: list[Event] = []

    def begin(self, kind: str, slots: Slots) -> None:
        for slot in slots.tolist() if self.log else ():
            if four_tuple := self._loop.describe(slot):
                self._ends[slot] = four_tuple
                self._events.append(Event(kind, four_tuple))

    def add(self, kind: str, slot: int, detail: str) -> None:
        if self.log and slot in self._ends:
            self._events.append(Event(kind, self._ends[slot], detail[:DETAIL]))

    def end(self, kind: str, slots: Slots, detail: str = "") -> None:
        for slot in slots.tolist() if self.log else ():
            self.add(kind, slot, detail)
            self._ends.pop(slot, None)

    def lost(self, ended: Completions, closed: str) -> None:
        """Log the loss of these connections with the errno of each; `closed` is the detail if the peer closed (0)."""
        for number in {*ended["result"].tolist()} if self.log else ():
            by = ended["slot"][ended["result"] == number]
            self.end("lost", by, name_of(-number) if number else closed)

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events
