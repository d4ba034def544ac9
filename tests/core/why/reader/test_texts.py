"""What the reader understands of texts as people paste them, and on which it stays silent."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.why.causes import CAUSES
from fourtuple.core.why.findings import Finding, Phrase
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.core.why.reader.errnos import LINUX, number_on_linux
from fourtuple.core.why.reader.messages import messages, phrases_of
from tests.core.why.reader.unrelated import lines
from tests.toml import tomllib

DATA = Path(__file__).parent / "data"
TEXTS: list[dict[str, Any]] = [
    row for file in ("texts.toml", "more_texts.toml") for row in tomllib.loads((DATA / file).read_text())["texts"]
]
NEW_CAUSES = {  # that the judge is yet to define
    *(
        "dns",
        "upstream-down",
        "inotify-instances",
        "inotify-watches",
        "pids",
        "max-map-count",
        "pid-max",
        "route-cache",
    ),
    *("xfrm", "tentative-address", "duplicate-address", "cilium-map", "hard-limit", "bsd-backlog", "bsd-files"),
    *("windows-ports", "windows-excluded"),
}
BLANK = Finding()


def told(finding: Finding) -> dict[str, Any]:
    """The fields that say something, as the table writes them."""
    found = {each.name: getattr(finding, each.name) for each in fields(finding)}
    kept = {name: value for name, value in found.items() if value != getattr(BLANK, name)}
    if kept.get("last") == kept.get("first"):
        kept.pop("last", None)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in kept.items()
        if name not in ("text", "errno", "host")
    }


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: " ".join(row["text"].split())[:60])
def test_a_text_is_understood(row: dict[str, Any]) -> None:
    found = read_findings([row["text"]])

    assert [told(finding) for finding in found] == row["findings"]
    assert all(finding.errno == number_on_linux(finding.error) for finding in found)
    assert all(finding.text and finding.text[:50] in row["text"] for finding in found)


def test_there_are_many_of_them() -> None:
    assert len({row["text"] for row in TEXTS}) == len(TEXTS) >= 150


def test_unrelated_lines_say_nothing_each_alone() -> None:
    wrong = {line: read_findings([line]) for line in lines() if read_findings([line])}

    assert wrong == {}
    assert len(set(lines())) >= 500


def test_unrelated_lines_say_nothing_together() -> None:
    assert read_findings(f"{line}\n" for line in lines()) == ()


def test_a_failure_between_unrelated_lines_is_found_where_it_stands() -> None:
    failure = (
        "2026/03/01 12:00:00 [crit] 812#812: *7 connect() to 10.0.0.9:80 failed (99: Cannot assign requested address)"
    )
    before = list(lines())

    (found,) = read_findings("\n".join([*before, failure, *before]).splitlines(keepends=True))

    assert (found.error, found.destination, found.where) == ("EADDRNOTAVAIL", "10.0.0.9:80", len(before) + 1)
    assert (found.text, found.first, found.pid) == (failure, "2026-03-01T12:00:00", 812)


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.text[:50])
def test_every_phrase_is_recognised(phrase: Phrase) -> None:
    """Its error, or one of its causes, is in what its own text says at connect()."""
    text = phrase.text.replace("#", "28").replace("*", " x ")

    found = read_findings([f"connect: {text}\nconnect: {text}"])

    assert found
    assert not phrase.error or phrase.error in {finding.error for finding in found}
    assert phrase.error or set(phrase.causes) <= {cause for finding in found for cause in finding.causes}


def test_every_cause_of_a_phrase_is_known() -> None:
    assert {cause for phrase in PHRASES for cause in phrase.causes} <= {*CAUSES} | NEW_CAUSES


def test_every_message_of_a_c_library_belongs_to_an_errno_of_linux() -> None:
    """In at least ten languages, EADDRINUSE has a message of its own."""
    assert all(number_on_linux(phrase.error) for phrase in messages())
    assert len({phrase.text for phrase in messages() if phrase.error == "EADDRINUSE"}) >= 10


def test_a_catalogue_of_the_host_is_read_as_well() -> None:
    phrases = (*PHRASES, *phrases_of({"EADDRINUSE": "Osoite on varattu"}))

    (found,) = read_findings(["bind: Osoite on varattu"], phrases)

    assert (found.error, found.call) == ("EADDRINUSE", "bind")


def test_a_limit_and_an_errno_of_one_line_are_both_told() -> None:
    phrase = Phrase("my pool of # is full", limit="my.pool", program="mypool")

    (found,) = read_findings(["my pool of 28k is full: connect EADDRNOTAVAIL 10.0.0.9:80"], (*PHRASES, phrase))

    assert (found.error, found.limit, found.number, found.program) == ("EADDRNOTAVAIL", "my.pool", 28_000, "mypool")


@pytest.mark.parametrize("name", LINUX)
def test_an_errno_is_recognised_by_its_name(name: str) -> None:
    for text in (
        name,
        name.lower(),
        f"connect {name} 10.0.0.9:80",
        f"Errno::{name}: connect(2)",
        f"{{error,{name}}} connect",
    ):
        assert [finding.error for finding in read_findings([text])] == [name]
