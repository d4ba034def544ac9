"""How several turns of a session become one."""

from collections.abc import Sequence

from fourtuple.engine.protocols.contract import NOTHING, Turn


def joined(turns: Sequence[Turn]) -> Turn:
    """What the turns say together, in their order. The first failure counts; after it nothing is to follow."""
    if len(turns) < 2:
        return turns[0] if turns else NOTHING
    return Turn(
        b"".join(turn.send for turn in turns),
        any(turn.secured for turn in turns),
        any(turn.ready for turn in turns),
        sum(turn.answers for turn in turns),
        sum(turn.wrong for turn in turns),
        next((turn.failed for turn in turns if turn.failed), None),
        any(turn.last for turn in turns),
        next((turn.because for turn in turns if turn.because), ""),
    )
