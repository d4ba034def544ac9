"""How far connections are that exchange a fixed number of messages: which have had their first answer, which all."""

import numpy as np

from fourtuple.engine.loops.contract import NO_SLOTS, Slots


class Course:
    """Counts the answers of each slot.

    slots:    how many there are
    messages: of each connection; 0: it exchanges nothing
    """

    def __init__(self, slots: int, messages: int) -> None:
        self._left = np.zeros(slots, np.uint32)
        self._messages = messages
        self._first: list[Slots] = []
        self._complete: list[Slots] = []

    def begin(self, slots: Slots) -> None:
        """These connections begin; without messages they are complete at once."""
        self._left[slots] = self._messages
        if not self._messages:
            self._complete.append(slots)

    def answered(self, slots: Slots) -> Slots:
        """One message was answered on each of these slots → those that have another one to send.

        Those that are complete already have sent something else.
        """
        left = self._left[slots]
        if not left.all():
            slots, left = slots[left > 0], left[left > 0]
        left = left - 1
        self._left[slots] = left
        if self._messages == 1:
            self._first.append(slots)
            self._complete.append(slots)
            return NO_SLOTS
        self._first.append(slots[left == self._messages - 1])
        over = left == 0
        self._complete.append(slots[over])
        rest: Slots = slots[~over]
        return rest

    def take(self) -> tuple[Slots, Slots]:
        """(slots with their first answer, slots with their last one) since the last call."""
        first, complete = _joined(self._first), _joined(self._complete)
        self._first, self._complete = [], []
        return first, complete


def _joined(parts: list[Slots]) -> Slots:
    return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else NO_SLOTS
