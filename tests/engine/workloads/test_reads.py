"""Few buffers for many connections: order is kept, and no slot is forgotten or served twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.engine.workloads.reads import Reads


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "forget"]), st.integers(0, 5)), min_size=20, max_size=60))
def test_buffers_go_round_and_order_is_kept(steps: list[tuple[str, int]]) -> None:
    """Against a list: 3 buffers for 6 slots."""
    reads = Reads(rows=3, row_bytes=1)
    waiting: list[int] = []
    for what, slot in steps:
        one = np.array([slot], np.int32)
        if what == "add" and slot not in waiting:
            reads.add(one)
            waiting.append(slot)
        elif what == "take":
            expected, waiting = waiting[:3], waiting[3:]
            assert reads.take().tolist() == expected
        elif what == "forget":
            reads.forget(one)
            waiting = [other for other in waiting if other != slot]
