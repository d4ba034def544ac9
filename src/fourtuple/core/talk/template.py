"""What a message says that differs between connections: text with placeholders in braces.

    {connection}  number of the connection in the run, from 0    {message}  number of its message, from 0
    {source}      address of this end                            {port}     port of this end
    {random:16}   that many characters of 0-9 and a-z            {now}      2026-11-29T10:04:41.123Z (RFC 3339)
    {line:PATH}   a line of a file; connection n has line n,     {now:ms}   Unix time; also in s, us and ns
                  and the first follows the last

Braces around anything else stay, as those of JSON do. Doubled braces around what would be a placeholder are single
ones: `{{port}}` is sent as `{port}`.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from fourtuple.core.backports import StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.nearest import nearest
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.units import quoted

if TYPE_CHECKING:
    from numpy.random import Generator

MOST_RANDOM = 65536
ALPHABET = b"0123456789abcdefghijklmnopqrstuvwxyz"
NOW_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_BRACES = re.compile(rb"\{\{([A-Za-z_]+)(:[^{}]*)?\}\}|\{([A-Za-z_]+)(:[^{}]*)?\}")
_NEAR = 0.8  # of difflib: `connections` has 0.95 of `connection`, `time` 0.75 of `line`
_LEAST_BEGUN = 4  # of letters: `conn` is nearly `connection`
_LETTERS = ALPHABET.ljust(256)


class Variable(StrEnum):
    """What a placeholder stands for; its name."""

    CONNECTION = "connection"
    MESSAGE = "message"
    SOURCE = "source"
    PORT = "port"
    RANDOM = "random"
    NOW = "now"
    LINE = "line"


# How each is written correctly, for errors.
_FORMS = {
    Variable.RANDOM: f"{{random:16}}, with a size from 1 to {MOST_RANDOM}",
    Variable.NOW: "{now}, {now:s}, {now:ms}, {now:us} or {now:ns}",
    Variable.LINE: "{line:PATH}",
}


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A place in a message. argument: of random a size, of now a unit or nothing, of line a path; otherwise empty"""

    variable: Variable
    argument: str = ""

    def __str__(self) -> str:
        return f"{{{self.variable}{f':{self.argument}' if self.argument else ''}}}"


@dataclass(frozen=True)
class Template:
    """A message with placeholders.

    parts: what it consists of, in order
    lines: the lines of each file that it names, as (path, lines)
    """

    parts: tuple[bytes | Placeholder, ...]
    lines: tuple[tuple[str, tuple[bytes, ...]], ...] = ()

    @property
    def typed(self) -> bytes:
        """The message with its placeholders, as it was typed."""
        parts = (part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape") for part in self.parts)
        return b"".join(parts)

    @property
    def says_source(self) -> bool:
        """Whether it differs with the address or the port of this end."""
        return bool(self.needs & {Variable.SOURCE, Variable.PORT})

    @cached_property
    def needs(self) -> frozenset[Variable]:
        """What has to be known to make a message of it; empty: every message is the same."""
        return frozenset(part.variable for part in self.parts if isinstance(part, Placeholder))

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The paths of the files whose lines it needs, each once."""
        named = [part.argument for part in self.parts if not isinstance(part, bytes) and part.variable is Variable.LINE]
        return tuple(dict.fromkeys(named))

    def with_lines(self, contents: Mapping[str, bytes]) -> "Template":
        """The same with the contents of its files, by path. Raises UsageError for a file without a line."""
        return Template(self.parts, tuple((path, lines_of(path, contents[path])) for path in self.files))

    def render(
        self,
        connection: int = 0,
        message: int = 0,
        *,
        source: str = "",
        now_ns: int = 0,
        random: "Generator | None" = None,
    ) -> bytes:
        """One message. Only what is in `needs` has to be given.

        source: ADDRESS:PORT of this end
        now_ns: Unix time
        """
        return b"".join(
            part if isinstance(part, bytes) else self._value(part, connection, message, source, now_ns, random)
            for part in self.parts
        )

    def _value(
        self, part: Placeholder, connection: int, message: int, source: str, now_ns: int, random: "Generator | None"
    ) -> bytes:
        match part.variable:
            case Variable.CONNECTION:
                return b"%d" % connection
            case Variable.MESSAGE:
                return b"%d" % message
            case Variable.SOURCE:
                return source.rpartition(":")[0].strip("[]").encode()
            case Variable.PORT:
                return source.rpartition(":")[2].encode()
            case Variable.LINE:
                lines = self._lines_by_path[part.argument]
                return lines[connection % len(lines)]
            case Variable.NOW:
                return time_text(now_ns, part.argument)
        return random_text(random, int(part.argument))

    @cached_property
    def _lines_by_path(self) -> dict[str, tuple[bytes, ...]]:
        return dict(self.lines)


def parse_template(content: bytes) -> Template:
    """The template that bytes of a message are.

    Raises UsageError for a known placeholder with a wrong argument, and for a name that is nearly one.
    """
    parts: list[bytes | Placeholder] = []
    literal, end = bytearray(), 0
    for braces in _BRACES.finditer(content):
        literal += content[end : braces.start()]
        end = braces.end()
        doubled, _, name, argument = braces.groups()
        if doubled is not None:
            literal += braces[0][1:-1] if _nearest(doubled, braces[2]) else braces[0]
        elif not _nearest(name, argument):
            literal += braces[0]
        else:
            parts += [bytes(literal)] * bool(literal) + [_placeholder(name, argument)]
            literal = bytearray()
    literal += content[end:]
    return Template((*parts, *[bytes(literal)] * bool(literal)))


def lines_of(path: str, content: bytes) -> tuple[bytes, ...]:
    """The lines of a file without their ends, \\n or \\r\\n. Raises UsageError if there is none."""
    lines = tuple(line.removesuffix(b"\r") for line in content.removesuffix(b"\n").split(b"\n")) if content else ()
    if not lines:
        raise UsageError(f"the lines of {path}", "the file is empty")
    return lines


@lru_cache(1024)
def _nearest(name: bytes, argument: bytes | None) -> str:
    """The variable that a name is or resembles; empty: none."""
    text = name.decode().lower()
    if text == "file" and argument:
        return Variable.LINE
    begun = [variable for variable in Variable if len(text) >= _LEAST_BEGUN and variable.startswith(text)]
    return begun[0] if begun else nearest(text, [*Variable], _NEAR)


def _placeholder(name: bytes, argument: bytes | None) -> Placeholder:
    """Raises UsageError, see parse_template."""
    text, said = name.decode(), None if argument is None else argument[1:].decode(errors="surrogateescape")
    shown = text if said is None else f"{text}:{said}"
    near = Variable(_nearest(name, argument))
    right = _FORMS.get(near, f"{{{near}}}")
    literally = f"or {{{{{shown}}}}} to send it as it is"
    if text != near:
        raise UsageError(
            f"the placeholder {quoted(f'{{{shown}}}')}", "there is none of that name", f"Write {right}, {literally}."
        )
    size = number_of(said or "")
    valid = {
        Variable.RANDOM: size is not None and 1 <= size <= MOST_RANDOM,
        Variable.NOW: said is None or said in NOW_NS,
        Variable.LINE: bool(said),
    }
    if not valid.get(near, said is None):
        raise UsageError(
            f"the placeholder {quoted(f'{{{shown}}}')}", f"it is written {right}", f"Correct it, {literally}."
        )
    return Placeholder(near, said or "")


def time_text(now_ns: int, unit: str) -> bytes:
    """The time as {now} has it, in UTC, or in a unit."""
    if unit:
        return b"%d" % (now_ns // NOW_NS[unit])
    seconds, rest_ns = divmod(now_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest_ns // 10**6:03}Z".encode()


def random_text(random: "Generator | None", size: int) -> bytes:
    """So many characters of the alphabet."""
    if random is None:
        raise TypeError("a template with {random} needs a generator")
    return random.integers(0, len(ALPHABET), size, "uint8").tobytes().translate(_LETTERS)
