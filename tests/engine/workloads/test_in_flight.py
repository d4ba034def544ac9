"""Which connections are being opened, compared with a dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.engine.workloads.in_flight import InFlight

MOST = 4  # 16 rows: slots meet in a row all the time


def slots(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.int32)


@given(
    st.lists(st.tuples(st.sampled_from(["begin", "end", "forget", "late"]), st.sets(st.integers(0, 200), max_size=9)))
)
def test_it_knows_what_a_dictionary_knows(steps: list[tuple[str, set[int]]]) -> None:
    """Ways and start times come back, whatever the order of slots, and however many of them meet in one row."""
    in_flight, known = InFlight(MOST), dict[int, tuple[int, int]]()
    for now_ns, (step, numbers) in enumerate(steps):
        new, old = sorted(numbers - known.keys()), sorted(numbers & known.keys())
        if step == "begin":
            in_flight.begin(slots(new), 3 * slots(new), now_ns)
            known |= {slot: (3 * slot, now_ns) for slot in new}
        elif step == "end":
            ways, start_ns = in_flight.end(slots(old))
            assert list(zip(ways.tolist(), start_ns.tolist(), strict=True)) == [known.pop(slot) for slot in old]
        elif step == "forget":
            in_flight.forget(slots(sorted(numbers)))
            for slot in old:
                del known[slot]
        else:
            until_ns = now_ns - len(numbers)
            late = {slot for slot, (_, start_ns) in known.items() if start_ns <= until_ns}
            assert sorted(in_flight.begun_until(until_ns).tolist()) == sorted(late)
