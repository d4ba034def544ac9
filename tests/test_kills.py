"""Commands that are killed at random moments leave nothing behind, and end with the code of what ended them."""

import os

from tests.conftest import need_namespace
from tests.kills import COMMANDS, rounds

COUNT, SEED = int(os.environ.get("FOURTUPLE_KILLS", 2 * len(COMMANDS))), 7


def test_nothing_is_left_after_a_kill_at_a_random_moment() -> None:
    """No process, no file, no traceback, and a store that can be read. More rounds: `python -m tests.kills 300 1`."""

    need_namespace()

    assert [each for each in rounds(COUNT, SEED) if not each.is_clean] == []
