"""The messages of sessions: the same each time, or made from a template for each connection and message."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from fourtuple.core.talk.messages import Messages
from fourtuple.core.talk.template import Template, Variable
from fourtuple.engine.loops.contract import Slots


class Words(Protocol):
    """The messages of all connections."""

    @property
    def constant(self) -> bytes | None:
        """The message, if it is always the same; otherwise None."""
        ...

    def of(self, slots: Slots) -> Sequence[bytes]:
        """The next message of each of these slots."""
        ...


class Constant:
    """The same message each time."""

    def __init__(self, message: bytes) -> None:
        self.constant = message

    def of(self, slots: Slots) -> Sequence[bytes]:
        return [self.constant] * len(slots)


class Rendered:
    """Messages made from a template.

    slots:      how many there are
    connection: the number of the connection in slot 0; the others follow
    source:     ADDRESS:PORT of a slot's own end
    """

    constant = None

    def __init__(self, template: Template, slots: int, connection: int, source: Callable[[int], str]) -> None:
        self._template, self._connection, self._source = template, connection, source
        self._messages = Messages(template)
        self._said = np.zeros(slots if Variable.MESSAGE in template.needs else 0, np.uint32)
        self._random = np.random.default_rng()

    def of(self, slots: Slots) -> Sequence[bytes]:
        template, now_ns = self._template, time.time_ns()
        numbers = slots.astype(np.int64) + self._connection
        counts = np.zeros(len(slots), np.int64)
        if len(self._said):
            counts = self._said[slots].astype(np.int64)
            self._said[slots] += 1
        if template.says_source:  # asked for one by one, which takes 20 µs each
            return [
                template.render(number, count, source=self._source(slot), now_ns=now_ns, random=self._random)
                for slot, number, count in zip(slots.tolist(), numbers.tolist(), counts.tolist(), strict=True)
            ]
        rows, sizes = self._messages.render(numbers, counts, now_ns=now_ns, random=self._random)
        return [row[:size].tobytes() for row, size in zip(rows, sizes.tolist(), strict=True)]


def words_of(template: Template, slots: int, connection: int, source: Callable[[int], str]) -> Words:
    """The messages that a template describes; the arguments are those of `Rendered`."""
    return Rendered(template, slots, connection, source) if template.needs else Constant(template.render())
