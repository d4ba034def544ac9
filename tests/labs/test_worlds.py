"""Predicted = observed: random worlds are asked what they have room for, then filled up with real sockets."""

import json
import os
import sys

import pytest

from tests.conftest import Ground

WORLDS, BATCH = 400, 100
FIRST = int(os.environ.get("FOURTUPLE_SEED", "1"))  # FOURTUPLE_SEED=… begins elsewhere


@pytest.mark.parametrize("batch", range(WORLDS // BATCH))
def test_every_world_has_the_room_that_was_predicted(batch: int, ground: Ground) -> None:
    """The number lies within the interval, whose width is checked too, and the errno is the one that was said.

    A failing world is repeated by `fourtuple lab -- python -m tests.labs.worlds SEED 1`.
    """
    first = FIRST + batch * BATCH
    done = ground.run(sys.executable, "-m", "tests.labs.worlds", str(first), str(BATCH))
    *failed, last = [json.loads(line) for line in done.stdout.splitlines()] or [{}]

    assert not failed, "\n".join(map(str, failed))
    assert last == {"worlds": BATCH, "failed": 0}, done.stderr
