"""The table of destinations: each by its name, and the others together."""

import pytest

from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.faces.text.destinations import destination_lines, title


def result(name: str, many: int = 1, *, failed: int = 0) -> DestinationResult:
    return DestinationResult(name, "", many, 5, {"ECONNREFUSED": failed} if failed else {}, {})


@pytest.mark.parametrize("other", ["unix:/b.sock", "10.0.0.9:81"])
def test_a_single_other_destination_has_its_name(other: str) -> None:
    lines = list(destination_lines([result("unix:/a.sock", failed=3), result(other)], 3))

    assert [line.split()[0] for line in lines[1:]] == ["unix:/a.sock", other]


def test_several_others_and_one_without_a_name_are_summed() -> None:
    several = list(destination_lines([result("a:1", failed=3), result("a:2"), result("a:3")], 3))
    nameless = list(destination_lines([result("a:1", failed=3), result("")], 3))

    assert [len(each) for each in (several, nameless)] == [3, 3]
    assert "a:2" not in several[2]
    assert "2" in several[2].split()
    assert "1" not in nameless[2].split()
    assert title(result("", 12)).endswith("12")
