"""What changed in which kernel stands in one table, which the code asks and the texts agree with."""

import re
from pathlib import Path

import pytest

import fourtuple
from fourtuple.core.limits import releases
from fourtuple.core.limits.releases import BOUND_ARE_LISTED, IN_TURN, RULES, TW_RECYCLE, KernelRule, parse_release

SOURCE = Path(fourtuple.__file__).parent
DOCS = SOURCE.parent.parent / "docs"
NAMED = re.compile(r"Linux (\d+\.\d+)(?![.\d])")
MEASURED = "6.18"  # where everything was tried
COMPARED = re.compile(r"[<>]=? \([4-9], \d+\)")


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-fc", (6, 18)), ("5.10-rc1", (5, 10)), ("6.1.0-18-amd64", (6, 1)), ("7.0", (7, 0))],
)
def test_kernel_releases(release: str, version: tuple[int, int]) -> None:
    assert parse_release(release) == version


def test_a_rule_holds_from_its_first_release_until_its_last() -> None:
    """Both ends are releases: it is true of `since`, and no more of `until`."""
    assert [IN_TURN.holds(version) for version in ((5, 15), (6, 7), (6, 8), (7, 0))] == [False, False, True, True]
    assert [TW_RECYCLE.holds(version) for version in ((3, 10), (4, 11), (4, 12), (6, 8))] == [True, True, False, False]
    assert (BOUND_ARE_LISTED.linux, TW_RECYCLE.linux) == ("Linux 6.8", "Linux 4.12")


def test_every_rule_of_the_module_is_in_the_table() -> None:
    """… once, changes in some release, and says where that is written."""
    rules = [value for value in vars(releases).values() if isinstance(value, KernelRule)]

    assert rules == list(RULES)
    assert all(rule.source and (rule.since or rule.until) for rule in RULES)


def test_every_release_that_a_text_names_is_in_the_table() -> None:
    files = [*(SOURCE / "core").rglob("*.py"), *(SOURCE / "faces").rglob("*.py"), *DOCS.glob("*.md")]
    named = {version for file in files for version in NAMED.findall(file.read_text())}

    assert {"6.8", "5.4"} <= named
    assert named - {MEASURED} <= {rule.release for rule in RULES}


def test_a_text_names_the_updates_of_older_releases_too() -> None:
    """Users of Linux 6.1.32 have what others got with 6.3."""
    files = [*SOURCE.rglob("*.py"), *DOCS.glob("*.md")]
    short = [
        f"{file.name}: {rule.linux}"
        for rule in RULES
        if rule.release != MEASURED
        for file in files
        if (also := " and ".join(rule.also))
        and re.search(rf"Linux {re.escape(rule.release)}(?![.\d]|,? and {also})", file.read_text())
    ]

    assert short == []


def test_no_code_compares_releases_itself() -> None:
    files = [file for file in SOURCE.rglob("*.py") if COMPARED.search(file.read_text())]

    assert COMPARED.search("if kernel >= (6, 8):")
    assert files == []
