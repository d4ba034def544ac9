r"""What an answer has to be, and whether what has arrived so far is it.

    PONG\r\n      exactly this text               until:\r\n      anything that ends with this text
    32B, len:32   that many bytes of any content  len:10-200      at least 10 bytes, at most 200 when they are read
    re:^OK        what a regular expression finds status:200,3xx  the status of an answer of HTTP

An expectation is *framed* if it says where an answer ends. `re:` and a range of `len:` are not: they judge what has
arrived, and what follows belongs to the answer as well.
"""

from collections.abc import Sequence
from typing import Protocol

from fourtuple.core.backports import StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.talk.content import MOST_BYTES, check_size, parse_expected, parse_text
from fourtuple.core.talk.pattern import bounded
from fourtuple.core.talk.template import parse_template
from fourtuple.core.units import format_size, parse_size, quoted
from fourtuple.core.visible import visible

STATUSES = range(100, 1000)  # RFC 9110, 15: three digits, of which the first is the class
MOST_SHOWN = 40


class ExpectationKind(StrEnum):
    """How an answer is judged; the prefix by which it is typed, apart from `text`."""

    TEXT = "text"
    RE = "re"
    LEN = "len"
    UNTIL = "until"
    STATUS = "status"


class Judged(StrEnum):
    """What is known of an answer so far."""

    WAITING = "waiting"
    COMPLETE = "complete"
    WRONG = "wrong"


class Judge(Protocol):
    """Judges one answer, piece by piece. It is used up once it has said COMPLETE or WRONG.

    rest: what was received after a complete answer, and belongs to the next
    """

    rest: bytes

    def take(self, data: bytes) -> Judged:
        """Take the next piece, which begins and ends anywhere."""
        ...


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an answer has to be.

    content:  text: the answer; until: its end; re: the pattern. Otherwise empty
    sizes:    len: how many bytes
    statuses: status: the accepted ones
    """

    kind: ExpectationKind
    content: bytes = b""
    sizes: range = range(0)
    statuses: tuple[range, ...] = ()

    @property
    def framed(self) -> bool:
        """Whether it says where an answer ends."""
        return self.kind in (ExpectationKind.TEXT, ExpectationKind.UNTIL) or len(self.sizes) == 1

    @property
    def is_fixed(self) -> bool:
        """Whether it is one text, or a number of bytes."""
        return self.kind is ExpectationKind.TEXT or len(self.sizes) == 1

    def judge(self) -> Judge:
        """A judge of one answer. Not for `status`, which only HTTP can judge.

        It keeps at most what is named: of `text` and `len` a number, of `until` as many bytes as the end has, of `re`
        the window of the pattern, at most 64 KiB.
        """
        match self.kind:
            case ExpectationKind.TEXT:
                return TextJudge(self.content)
            case ExpectationKind.LEN:
                return SizeJudge(self.sizes)
            case ExpectationKind.UNTIL:
                return EndJudge(self.content)
            case ExpectationKind.RE:
                return PatternJudge(self.content)
        raise ValueError("a status is judged by engine/protocols/http.py")

    def __str__(self) -> str:
        """In words, for `an answer that …`: `is "PONG\\r\\n"`, `matches ^OK`, `has 32 bytes`, `ends with "\\r\\n"`."""
        match self.kind:
            case ExpectationKind.TEXT:
                return f"is {shown(self.content)}"
            case ExpectationKind.RE:
                return f"matches {self.content.decode(errors='backslashreplace')}"
            case ExpectationKind.UNTIL:
                return f"ends with {shown(self.content)}"
            case ExpectationKind.STATUS:
                return f"has the status {' or '.join(map(_status_text, self.statuses))}"
        low, high = self.sizes[0], self.sizes[-1]
        return f"has {low:,} bytes" if low == high else f"has {low:,} to {high:,} bytes"


def parse_expectation(text: str) -> Expectation:
    r"""Parse `TEXT`, `32B`, `re:PATTERN`, `len:SIZE[-SIZE]`, `until:TEXT` or `status:STATUSES`.

    Texts have the escapes of core/talk/content.py and no placeholder, patterns those of Python's `re`. A text that
    begins with such a prefix is written with an escape, `\x72e:`. Raises UsageError.
    """
    prefix, colon, rest = text.partition(":")
    if colon and prefix in [*ExpectationKind] and prefix != ExpectationKind.TEXT:
        return _PARSERS[ExpectationKind(prefix)](rest)
    content = parse_expected(text)
    return expect_size(content) if isinstance(content, int) else expect_text(_plain(content, text))


def expect_text(content: bytes) -> Expectation:
    """Exactly this content. Raises UsageError if it is empty or too long."""
    check_size(len(content))
    return Expectation(ExpectationKind.TEXT, content)


def expect_size(size_bytes: int) -> Expectation:
    """That many bytes, whatever they are."""
    return Expectation(ExpectationKind.LEN, sizes=range(size_bytes, size_bytes + 1))


def is_answer(parts: Sequence[Expectation], message: bytes) -> bool:
    """Whether a whole message is an answer with these parts, one after the other; for protocols that have messages.

    What a pattern leaves belongs to the answer; anything else that is left does not.
    """
    rest = message
    for part in parts[:-1]:
        judge = part.judge()
        if judge.take(rest) is not Judged.COMPLETE:
            return False
        rest = judge.rest
    last = parts[-1]
    match last.kind:
        case ExpectationKind.TEXT:
            return rest == last.content
        case ExpectationKind.LEN:
            return len(rest) in last.sizes
        case ExpectationKind.UNTIL:
            return rest.endswith(last.content)
    return last.judge().take(rest) is Judged.COMPLETE


def parse_statuses(text: str) -> tuple[range, ...]:
    """`200,301,2xx,400-404` → ranges of status codes. Raises UsageError."""
    return tuple(_statuses(part.strip(), text) for part in text.split(","))


def shown(content: bytes, most: int = MOST_SHOWN) -> str:
    r"""The beginning of content in quotation marks, with escapes that can be typed: "PING\r\n"."""
    text = visible(content[:most].decode("utf-8", "backslashreplace"))
    return f'"{text}"{"…" * (len(content) > most)}'


def _plain(content: bytes, text: str) -> bytes:
    """The text of an answer, in which `{{port}}` is `{port}` as in messages. Raises UsageError for a placeholder."""
    template = parse_template(content)
    if template.needs:
        name = min(template.needs)
        do = f"Expect re: or len: instead, or write {{{{{name}}}}} for the text itself."
        raise UsageError(f"the answer {quoted(text)}", f"{{{name}}} differs, and an answer is the same for all", do)
    return template.render()


def _pattern(text: str) -> Expectation:
    pattern = text.encode(errors="surrogateescape")
    bounded(pattern)
    return Expectation(ExpectationKind.RE, pattern)


def _sizes(text: str) -> Expectation:
    first, dash, last = text.partition("-")
    low = _size(first, text)
    high = _size(last, text) if dash else low
    for size_bytes in (low, high):
        check_size(size_bytes)
    if low > high:
        raise UsageError(f"len:{text}", f"the first size, {low:,}, is above the last, {high:,}")
    return Expectation(ExpectationKind.LEN, sizes=range(low, high + 1))


def _size(text: str, whole: str) -> int:
    """A size in bytes, with or without a unit. Raises UsageError."""
    number = number_of(text)
    if number is not None:
        return number
    try:
        return parse_size(text)
    except UsageError:
        most = format_size(MOST_BYTES)
        raise UsageError(
            f"len:{whole}", f"{quoted(text)} is not a size", f"Write len:32, len:1KiB or len:10-200, at most {most}."
        ) from None


def _until(text: str) -> Expectation:
    content = _plain(parse_text(text), text)
    if not content:
        raise UsageError("until:", "the end of the answer is missing", r"Write until:\r\n.")
    check_size(len(content))
    return Expectation(ExpectationKind.UNTIL, content)


def _status(text: str) -> Expectation:
    return Expectation(ExpectationKind.STATUS, statuses=parse_statuses(text))


_PARSERS = {
    ExpectationKind.RE: _pattern,
    ExpectationKind.LEN: _sizes,
    ExpectationKind.UNTIL: _until,
    ExpectationKind.STATUS: _status,
}


def _statuses(part: str, whole: str) -> range:
    wanted = f"status:{quoted(whole).strip(chr(39))}"
    if len(part) == 3 and part[1:].lower() == "xx" and part[0] in "123456789":
        return range(int(part[0]) * 100, int(part[0]) * 100 + 100)
    first, dash, last = part.partition("-")
    low = number_of(first)
    high = number_of(last) if dash else low
    if low is None or high is None:
        raise UsageError(
            wanted, f"{quoted(part)} is not a status", "Write status:200, status:2xx or status:200-299,404."
        )
    if low not in STATUSES or high not in STATUSES or low > high:
        raise UsageError(wanted, f"{part} is not within 100 to 999, or its first is above its last")
    return range(low, high + 1)


def _status_text(statuses: range) -> str:
    low, high = statuses[0], statuses[-1]
    if low % 100 == 0 and high == low + 99:
        return f"{low // 100}xx"
    return f"{low}" if low == high else f"{low}-{high}"


class TextJudge:
    """Exactly one text; an answer is wrong at the first byte that differs."""

    def __init__(self, content: bytes) -> None:
        self._content, self._come, self.rest = content, 0, b""

    def take(self, data: bytes) -> Judged:
        missing = self._content[self._come : self._come + len(data)]
        if not data.startswith(missing):
            return Judged.WRONG
        self._come += len(missing)
        if self._come < len(self._content):
            return Judged.WAITING
        self.rest = data[len(missing) :]
        return Judged.COMPLETE


class SizeJudge:
    """A number of bytes; of a range, as many as have arrived when they are enough."""

    def __init__(self, sizes: range) -> None:
        self._least, self._most, self._come, self.rest = sizes[0], sizes[-1], 0, b""

    def take(self, data: bytes) -> Judged:
        before = self._come
        self._come += len(data)
        if self._come < self._least:
            return Judged.WAITING
        if self._least == self._most:
            self.rest = data[self._most - before :]
        elif self._come > self._most:
            return Judged.WRONG
        return Judged.COMPLETE


class EndJudge:
    """Anything up to the first place where the end stands."""

    def __init__(self, end: bytes) -> None:
        self._end, self._last, self.rest = end, b"", b""

    def take(self, data: bytes) -> Judged:
        text = self._last + data
        at = text.find(self._end)
        if at >= 0:
            self.rest = text[at + len(self._end) :]
            return Judged.COMPLETE
        self._last = text[len(text) - len(self._end) + 1 :] if len(text) >= len(self._end) else text
        return Judged.WAITING


class PatternJudge:
    """What a pattern finds in all that has arrived, within its window. The answer is wrong if nothing more could match.

    That is known where the window is full, or where the pattern begins with ^ and a text that is not there.
    """

    def __init__(self, pattern: bytes) -> None:
        self._bounded, self._come, self.rest = bounded(pattern), b"", b""

    def take(self, data: bytes) -> Judged:
        room = self._bounded.window_bytes - len(self._come)
        self._come += data[:room]
        found = self._bounded.pattern.search(self._come)
        if found:
            self.rest = self._come[found.end() :] + data[room:]
            return Judged.COMPLETE
        prefix = self._bounded.prefix
        possible = self._come.startswith(prefix) or prefix.startswith(self._come)
        return Judged.WAITING if possible and len(self._come) < self._bounded.window_bytes else Judged.WRONG
