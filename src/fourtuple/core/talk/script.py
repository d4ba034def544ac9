r"""Which answers belong to which text of a command line whose --first, --send and --expect have an order.

--expect 're:^220'                                       the greeting
--first 'HELLO\r\n' --expect 're:^OK'                    once on each connection, and its answer
--send 'PING\r\n' --expect 'PONG\r\n' --expect len:4     each message, and the parts of its answer in order
"""

from collections.abc import Mapping, Sequence

from fourtuple.core.backports import StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.talk.expectation import Expectation, ExpectationKind, shown
from fourtuple.core.talk.template import Template


class Say(StrEnum):
    """The option that says a text."""

    FIRST = "--first"
    SEND = "--send"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A text and its answer. say: None: nothing, the peer speaks first; expect: the parts of the answer, in order"""

    say: Template | None
    expect: tuple[Expectation, ...] = ()

    def __str__(self) -> str:
        """The text, then what its answer is to be: `"PING\\r\\n" → is "+PONG\\r\\n"`."""
        said = shown(self.say.typed) if self.say else ""
        return " → ".join(filter(None, (said, ", ".join(map(str, self.expect)))))


@dataclass(frozen=True, slots=True)
class Script:
    """What is said on a connection of plain text.

    opening: until the session is ready: the greeting, then each --first
    message: what is sent at intervals from then on; None: nothing
    """

    opening: tuple[Exchange, ...] = ()
    message: Exchange | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the files whose lines it needs, each once."""
        said = [exchange.say for exchange in self._exchanges if exchange.say]
        return tuple(dict.fromkeys(path for say in said for path in say.files))

    def with_lines(self, contents: Mapping[str, bytes]) -> "Script":
        """The same with the contents of its files, by path. Raises UsageError for a file without a line."""

        def filled(exchange: Exchange) -> Exchange:
            return Exchange(exchange.say and exchange.say.with_lines(contents), exchange.expect)

        return Script(tuple(map(filled, self.opening)), filled(self.message) if self.message else None)

    @property
    def _exchanges(self) -> tuple[Exchange, ...]:
        return (*self.opening, *([self.message] if self.message else []))

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All of them, in order."""
        return (*self.opening, *([self.message] if self.message else []))

    def has_expected(self, answer: bytes) -> bool:
        """Whether this is the beginning of an answer that is expected word by word."""
        return any(each.content[: len(answer)] == answer for exchange in self.exchanges for each in exchange.expect)

    @property
    def is_fixed(self) -> bool:
        """Whether the same text is sent each time, if any, and the same text or number of bytes is the only answer."""
        exchanges = self._exchanges
        if len(exchanges) > 1 or not exchanges:
            return not exchanges
        (exchange,) = exchanges
        said = exchange.say is None or (exchange is self.message and not exchange.say.needs)
        return said and len(exchange.expect) <= 1 and all(each.is_fixed for each in exchange.expect)

    @property
    def framed(self) -> bool:
        """Whether every answer is judged and says where it ends, so that data between answers is unexpected."""
        if self.message is None or not self.message.expect:
            return False
        return all(each.framed for exchange in self._exchanges for each in exchange.expect)


Word = tuple[Say, Template] | Expectation  # an option of the command line


def script_of(words: Sequence[Word]) -> Script:
    """The script that the options mean, in the order in which they were typed.

    An --expect belongs to the --first or --send before it, and is about the greeting if none is. One --expect and one
    --send alone belong together in any order. Raises UsageError for a second --send, and for `status:`.
    """
    groups: list[tuple[Say | None, Template | None, list[Expectation]]] = [(None, None, [])]
    for word in words:
        if isinstance(word, Expectation):
            if word.kind is ExpectationKind.STATUS:
                raise UsageError("--expect status", "plain text has no status", "Write http:// before the destination.")
            groups[-1][2].append(word)
        else:
            groups.append((*word, []))
    messages = [index for index, (option, _, _) in enumerate(groups) if option is Say.SEND]
    if len(messages) > 1:
        raise UsageError(
            "--send", "it was given twice, and a connection repeats one message", "Use --first for the others."
        )
    if messages and len(groups) == 2 and len(groups[0][2]) == 1 and not groups[1][2]:
        groups[0], groups[1] = (None, None, []), (*groups[1][:2], groups[0][2])
    exchanges = [(option, Exchange(say, tuple(expect))) for option, say, expect in groups]
    opening = tuple(each for option, each in exchanges if option is not Say.SEND and (each.say or each.expect))
    return Script(opening, next((each for option, each in exchanges if option is Say.SEND), None))
