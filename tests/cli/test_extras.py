"""A core install: every command that needs an extra says which, with the command that installs it, and ends with 77."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import fourtuple
from tests.waiting import COMMAND_S

CANNOT = 77
# The command where none of the extras' packages is installed.
WITHOUT = """
import sys
EXTRAS = ("altair", "jinja2", "vl_convert", "pyarrow", "distributed", "dask", "asyncssh")
class Core:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in EXTRAS else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Core, sys.meta_path)
from fourtuple.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that nothing could connect to."""
    file = tmp_path_factory.mktemp("core") / "runs.db"
    for _ in range(2):
        fourtuple("hold", "1", "127.0.0.1:1", "--for", "0s", "--quiet", "--store", str(file))
    return file


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("report 1 -o x.html --store {store}", "report"),
        ("report 1 -o - --store {store}", "report"),
        ("compare 1 2 -o x.html --store {store}", "report"),
        ("prove theory --report x.html --no-store", "report"),
        ("doctor --report x.html", "report"),
        ("runs export 1 --parquet -o x.parquet --store {store}", "parquet"),
        ("fleet hosts --local 2", "fleet"),
        ("fleet hold 10 127.0.0.1:1 --local 2", "fleet"),
        ("fleet churn 10/s 127.0.0.1:1 --local 2", "fleet"),
        ("fleet serve 127.0.0.1:0 --local 1", "fleet"),
        ("fleet plan 10 127.0.0.1:1 --local 2", "fleet"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    store: Path, tmp_path: Path, command: str, extra: str
) -> None:
    arguments = command.format(store=store).split()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == CANNOT
    assert f"pip install 'fourtuple[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
