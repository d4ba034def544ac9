"""Remedies: in one line with their price, and those first that this user can apply."""

import pytest

from fourtuple.core.limits.cures import Cure, Needs, at_hand_first


def test_in_one_line_a_cure_has_what_it_takes_and_its_price() -> None:
    assert str(Cure("do this")) == "do this"
    assert str(Cure("do this", "it costs that", Needs.ROOT)) == "do this (root; it costs that)"


@pytest.mark.parametrize(("root", "order"), [(False, "acb"), (True, "abc")])
def test_what_this_user_can_do_comes_first_otherwise_in_the_given_order(root: bool, order: str) -> None:
    cures = [Cure("a"), Cure("b", needs=Needs.ROOT), Cure("c", needs=Needs.SETTING)]

    assert "".join(cure.do for cure in at_hand_first(cures, root=root)) == order


def test_what_others_must_do_comes_last_for_everybody() -> None:
    cures = [Cure("a", needs=Needs.OTHERS), Cure("b", needs=Needs.CODE), Cure("c", needs=Needs.RESTART)]

    assert [cure.do for cure in at_hand_first(cures, root=True)] == ["c", "a", "b"]
