"""Every screen is equal to its golden file. `make screens` renews the files."""

import difflib
import re
from collections.abc import Callable

import pytest

from tests.screens import drawn, file_of, orphans, screens

SCREENS = screens()


@pytest.mark.parametrize(("name", "made"), SCREENS.items(), ids=SCREENS)
def test_a_screen_is_as_its_golden_file(name: str, made: Callable[[], str]) -> None:
    file = file_of(name)
    if not file.exists():
        pytest.fail(f"{file} is missing: `make screens` makes it", pytrace=False)
    golden, now = file.read_text(encoding="utf-8"), drawn(made)
    if now != golden:
        lines = difflib.unified_diff(golden.splitlines(), now.splitlines(), f"{name} (golden)", f"{name} (now)", n=2)
        difference = "\n".join([*(line.rstrip("\n") for line in lines), ""])
        pytest.fail(
            f"{difference}\nIf this is intended, `make screens` renews the golden files; read the diff.", pytrace=False
        )


def test_every_golden_file_has_its_screen() -> None:
    assert orphans() == [], "`make screens` removes them"


def test_one_thing_is_never_told_as_several() -> None:
    """`1 sockets`, wherever a count is shown."""
    many = "sockets|ports|connections|processes|files|messages|pairs|addresses|machines|entries|listeners|requests"
    many += "|namespaces|routes|answers|clients|destinations|lessons|claims|runs|seconds"
    plural = re.compile(rf"(?<![\w.,:/])1 (?:more )?(?:[a-z]+ )?(?:{many})\b")
    told = {name: plural.findall(file_of(name).read_text(encoding="utf-8")) for name in SCREENS}

    assert {name: found for name, found in told.items() if found} == {}
