"""The simplest session: each line that is received is an answer. For tests of what carries a session inside it."""

from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Session, Turn

WRONG, END = b"wrong\n", b"end\n"


class LineSession:
    """`wrong` is another answer than expected, `end` a proper end; half a line is no end."""

    def __init__(self, first: bytes = b"") -> None:
        self._first = first
        self._line = b""
        self.last_words = b"bye\n"

    @property
    def idle(self) -> bool:
        return not self._line

    def begin(self) -> Turn:
        return Turn(self._first, ready=True)

    def say(self, message: bytes) -> Turn:
        return Turn(message)

    def received(self, data: bytes) -> Turn:
        if not data:
            return Turn(failed=Failure(FailureKind.TEXT, "half a line")) if self._line else NOTHING
        *lines, self._line = (self._line + data).splitlines(keepends=True) + ([b""] if data.endswith(b"\n") else [])
        wrong = lines.count(WRONG)
        failed = Failure(FailureKind.TEXT, "end", by_peer=True) if END in lines else None
        return Turn(answers=len(lines) - wrong, wrong=wrong, failed=failed)

    def goodbye(self) -> bytes:
        return self.last_words


class Lines:
    """Its sessions; the first words of each say which connection it is."""

    keepalive_s = 7.0
    answers, says_source = Answers.EACH, True
    many = None

    def make(self, connection: int, source: str) -> LineSession:
        return LineSession(f"{connection} from {source}\n".encode())

    def resume(self, connection: int) -> LineSession:
        return LineSession()

    def beat(self, session: Session) -> Turn:
        assert isinstance(session, LineSession)
        return Turn(b"beat\n")
