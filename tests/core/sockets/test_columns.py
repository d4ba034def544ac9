"""Columns of numbers: what is among them, and which are different, as NumPy tells it at the price of an import."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.sockets.columns import distinct, in_states, is_in
from fourtuple.core.sockets.table import State

PORTS = st.lists(st.integers(0, 65_535) | st.integers(0, 5), max_size=20)


@given(PORTS)
def test_the_different_ones_are_those_of_numpy(ports: list[int]) -> None:
    """Ascending, each once, of the same type."""
    column = np.array(ports, np.uint16)
    found = distinct(column)

    assert found.dtype == np.uint16
    assert found.tolist() == np.unique(column).tolist()


@given(PORTS, PORTS)
def test_what_is_among_others_is_as_numpy_tells(ports: list[int], wanted: list[int]) -> None:
    column = np.array(ports, np.uint32)

    assert is_in(column, np.array(sorted(wanted), np.int64)).tolist() == np.isin(column, wanted).tolist()


@given(st.lists(st.sampled_from(list(State)), max_size=20), st.sets(st.sampled_from(list(State))))
def test_sockets_in_a_state_are_found(states: list[State], wanted: set[State]) -> None:
    assert in_states(np.array(states, np.uint8), wanted).tolist() == [state in wanted for state in states]
