"""The library as a user types it: the README's example and `census` pass `mypy --strict`, and the example runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fourtuple import TupleSpace, budget, census, limits, plan
from fourtuple.core.runs.churn_orders import ChurnOptions
from fourtuple.core.runs.orders import HoldOptions, ServeOptions
from tests.conftest import REPOSITORY
from tests.waiting import COMMAND_S

# By what, and an attribute that only these rows have.
CENSUS = """
from fourtuple import census
from fourtuple.core.census.records import By

print([row.left for row in census().rows])
print([row.left for row in census(["10.0.0.9"], by=By.PAIR, most=5, owners=False).rows])
print([row.destination for row in census(by=By.DESTINATION).rows])
print([row.port for row in census(by=By.PORT).rows])
print([row.state for row in census(by=By.STATE).rows])
print([row.pid for row in census(by=By.PROCESS).rows])


def of(by: By) -> int:
    return len(census(by=by).rows)
"""


def example() -> str:
    """The last block of Python in the README."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert blocks
    return str(blocks[-1])


@pytest.mark.parametrize("code", [example(), CENSUS], ids=["readme", "census"])
def test_what_a_user_writes_passes_a_strict_type_checker(code: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(code)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(file)]
    done = subprocess.run(mypy, capture_output=True, text=True, timeout=COMMAND_S, check=False, cwd=REPOSITORY)

    assert done.returncode == 0, done.stdout


def test_the_kind_of_rows_that_is_not_asked_for_has_no_such_attribute(tmp_path: Path) -> None:
    """So that the check above can fail."""
    file = tmp_path / "example.py"
    file.write_text("from fourtuple import census\nprint([row.state for row in census().rows])\n")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(file)]

    assert subprocess.run(mypy, capture_output=True, timeout=COMMAND_S, check=False, cwd=REPOSITORY).returncode == 1


END, SOURCE = "127.0.0.1:8000", "127.0.0.2"


def test_a_text_is_one_destination_and_one_source() -> None:
    """It is a sequence, too, and would otherwise be many destinations of one character each."""
    assert HoldOptions.of(1, END, sources=SOURCE, require="lost<=1") == HoldOptions.of(
        1, [END], sources=[SOURCE], require=["lost<=1"]
    )
    assert ChurnOptions.of(1, END, sources=SOURCE) == ChurnOptions.of(1, [END], sources=[SOURCE])
    assert ServeOptions.of(END) == ServeOptions.of([END])
    assert TupleSpace.of(SOURCE, range(1, 9), END) == TupleSpace.of([SOURCE], range(1, 9), [END])
    assert limits(END, sources=SOURCE).destinations == 1
    assert plan(1, END, sources=SOURCE, assume="net.core.somaxconn=128").wanted == 1
    assert budget(SOURCE, END).limited_by == budget([SOURCE], [END]).limited_by
    assert census(END, sources=SOURCE, owners=False).rows == census([END], sources=[SOURCE], owners=False).rows
