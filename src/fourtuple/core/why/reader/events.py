"""Which lines belong together: a log line with its stack trace, a Python traceback with its cause, a printed object."""

from collections.abc import Sequence

from fourtuple.core.late import late_pattern
from fourtuple.core.why.reader.frames import Framed, framed

MOST_LINES = 80  # of one event
_MORE = late_pattern(
    r"at [\w$.<>/]+ ?\(|at \S+:\d+:\d+\)?$|caused by:|suppressed:|\.\.\. \d+ (?:more|common)|file \"[^\"]*\", line \d"
    r"|[}\])]+[,;]?$|from \S+:\d+:in "
)
_PERHAPS = late_pattern(r"[:\]] (?:at |caused by:|suppressed:|\.\.\. |file \"|from |[}\])])")
_CHAIN = late_pattern(r"during handling of the above exception|the above exception was the direct cause")
_TRACEBACK = "traceback (most recent call last)"
_EXCEPTION = late_pattern(r"(?:exception in thread \"[^\"]*\" )?[a-z_][\w.$]*(?:exception|error)\b")


class Lines:
    """The lines of a part of a text, as they are and folded, and the events that they form."""

    def __init__(self, lines: Sequence[str], folded: Sequence[str]) -> None:
        self.lines, self.folded = lines, folded
        self._frames: dict[int, Framed] = {}

    def framed(self, number: int) -> Framed:
        """The line, cut into frame and message; each is cut once."""
        if number not in self._frames:
            self._frames[number] = framed(self.lines[number], self.folded[number])
        return self._frames[number]

    def continues(self, number: int) -> bool:
        """Whether the line continues the one before it."""
        if number == 0 or not self.folded[number]:
            return False
        if self.is_indented(number):
            return True
        folded = self.folded[number]
        return bool(_MORE.match(folded) or (_PERHAPS.search(folded) and _MORE.match(self.framed(number).message)))

    def event(self, number: int, least: int = 0) -> range:
        """The lines of the event that line `number` is part of. least: the first line that may be one of them"""
        start = max(least, self._start(number))
        if self.is_indented(start) and not _MORE.match(self.folded[number]):  # a log that is indented as a whole
            return range(number, number + 1)
        return range(start, max(number + 1, self._stop(start, number + 1)))

    def is_indented(self, number: int) -> bool:
        """Whether the line begins with a space and no time, as the lines of a stack trace do."""
        return self.lines[number][:1] in (" ", "\t") and self.framed(number).stamp is None

    def _start(self, number: int) -> int:
        head = self._head(number)
        least = max(0, number - MOST_LINES)
        if head > least and self.continues(head - 1):  # perhaps the last line of a traceback
            top = self._head(head - 1)
            if _TRACEBACK in self.folded[top]:
                head = top
        if head > least and not self.framed(head).stamp and self._needs_head(head) and self.framed(head - 1).stamp:
            head -= 1
        return head

    def _head(self, number: int) -> int:
        least = max(0, number - MOST_LINES)
        while number > least and self.continues(number):
            number -= 1
        return number

    def _needs_head(self, number: int) -> bool:
        folded = self.folded[number]
        return _TRACEBACK in folded or bool(_EXCEPTION.match(folded)) or "report====" in self.folded[number - 1]

    def _stop(self, start: int, number: int) -> int:
        most = min(len(self.lines), start + MOST_LINES)
        is_open = self._is_in_traceback(start, number - 1)
        while number < most:
            if self.continues(number):
                number += 1
            elif is_open and self.folded[number] and not self.framed(number).stamp:  # the exception, which ends it
                number, is_open = number + 1, False
            elif (after := self._after_chain(number, most)) > number:
                number = after
            else:
                break
        return number

    def _is_in_traceback(self, start: int, number: int) -> bool:
        """Whether the line is one of a traceback whose exception is still to come."""
        is_traceback = any(_TRACEBACK in self.folded[each] for each in range(start, number + 1))
        return is_traceback and (self.continues(number) or _TRACEBACK in self.folded[number])

    def _after_chain(self, number: int, most: int) -> int:
        """The line after a chained traceback that begins here, or `number` if none does."""
        at = self._next(number, most)
        if at >= most or not _CHAIN.match(self.framed(at).message):
            return number
        at = self._next(at + 1, most)
        if at < most and _TRACEBACK in self.folded[at]:
            at += 1
            while at < most and self.continues(at):
                at += 1
        return min(at + 1, most)

    def _next(self, number: int, most: int) -> int:
        while number < most and not self.folded[number]:
            number += 1
        return number
