"""Few buffers for many connections: a closed slot returns its buffer, and no slot is forgotten or served twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.engine.workloads.reads import Reads


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "take", "give back", "forget"]), st.integers(0, 5)), min_size=20, max_size=60
    )
)
def test_rows_go_round_and_order_is_kept(steps: list[tuple[str, int]]) -> None:
    """Against a list and a dict: 3 rows for 6 slots."""
    reads = Reads(rows=3, row_bytes=1)
    waiting: list[int] = []
    has_row: dict[int, int] = {}
    for what, slot in steps:
        one = np.array([slot], np.int32)
        if what == "add" and slot not in waiting and slot not in has_row:
            reads.add(one)
            waiting.append(slot)
        elif what == "take":
            slots, rows = reads.take()
            expected, waiting = waiting[: 3 - len(has_row)], waiting[3 - len(has_row) :]
            assert slots.tolist() == expected
            has_row.update(zip(slots.tolist(), rows.tolist(), strict=True))
            assert len({*has_row.values()}) == len(has_row) <= 3
        elif what == "give back" and slot in has_row:
            rows = reads.rows(one)
            assert rows.tolist() == [has_row.pop(slot)]
            reads.give_back(rows)
        elif what == "forget":
            reads.forget(one)
            has_row.pop(slot, None)
            waiting = [other for other in waiting if other != slot]
