"""Data that arrives in pieces, and what a session makes of all of them together."""

from collections.abc import Iterable, Iterator

from fourtuple.engine.protocols.contract import Session, Turn


def cuts(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """The data in one piece, in two for each position, and byte by byte."""
    yield (data,)
    for at in range(1, len(data)):
        yield data[:at], data[at:]
    yield tuple(data[at : at + 1] for at in range(len(data)))


def heard(session: Session, pieces: Iterable[bytes]) -> Turn:
    """All turns of the session as one."""
    turns = [session.received(piece) for piece in pieces]
    return Turn(
        b"".join(turn.send for turn in turns),
        any(turn.secured for turn in turns),
        any(turn.ready for turn in turns),
        sum(turn.answers for turn in turns),
        sum(turn.wrong for turn in turns),
        next((turn.failed for turn in turns if turn.failed), None),
        any(turn.last for turn in turns),
    )
