"""The README's promises that a machine can hold it to."""

import re
from pathlib import Path

from mypy import api

from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 160


def test_its_code_passes_mypy_strict(tmp_path: Path) -> None:
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)):
        (tmp_path / f"example{number}.py").write_text(code)
    assert list(tmp_path.iterdir())

    said, _, code = api.run(["--strict", "--config-file=", f"--cache-dir={REPOSITORY / '.mypy_cache'}", str(tmp_path)])

    assert code == 0, said
