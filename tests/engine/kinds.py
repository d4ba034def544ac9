"""Sessions for scripted loops: what they say is fixed, and nothing is checked."""

from fourtuple.engine.protocols.contract import Answers, Session, Turn


class Parting:
    """A session that is established at once, asks nothing, and says goodbye."""

    idle = False

    def begin(self) -> Turn:
        return Turn(ready=True)

    def say(self, message: bytes) -> Turn:
        return Turn(send=message)

    def received(self, data: bytes) -> Turn:
        return Turn(answers=1 if data else 0)

    def goodbye(self) -> bytes:
        return b"bye"


class PartingKind:
    keepalive_s = float("inf")
    many = None
    answers = Answers.EACH
    says_source = False

    def make(self, connection: int, source: str) -> Session:
        return Parting()

    def resume(self, connection: int) -> Session:
        return Parting()

    def beat(self, session: Session) -> Turn:
        return Turn()
