"""Stored runs as text: the list, one of them, two side by side."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.runs.compare import compare
from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.runs.proof import Lesson, Step
from fourtuple.core.runs.stored import StoredRun
from fourtuple.faces.text import runs, stored
from fourtuple.faces.text.compare import compare_lines
from fourtuple.faces.text.serve import serve_lines
from fourtuple.store import reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.made import BEGAN_NS, LOOP_BECAUSE, ground, hold_record, result, samples, serve_record, start
from tests.told import numbers

ENTRY = Entry(
    17, "hold", "fourtuple hold 1000 127.0.0.1:8000", "2026-11-20T12:00:00.000+00:00", "2026-11-20T12:00:10.000+00:00",
    RunState.REACHED, "", 1000, 1000, 40, "loadbox",
)  # fmt: skip


def kept(kind: str, record: Any, *, alive: bool = False, **options: Any) -> StoredRun:
    with closing(open_store(None, new=True)) as base:
        writer = Writer(base, f"fourtuple {kind} 1000 127.0.0.1:8000-8003 --for 10s", "me")
        if kind == "prove":
            writer.begin(ground().start, to_text(ground().refusal), 2)
            for tenth in range(30):  # ten a second, of which four are written
                step = Step(Lesson("same-port", "…", ""), done=100 * (tenth + 1), of=3000)
                writer.progress(step, BEGAN_NS + tenth * 10**8)
            writer.lesson(result())
            writer.lesson(result("one-wall", "fails"))
            writer.counts(2, 1)
        else:
            writer.begin(start(kind, **options))
            for sample in list(samples(every_s=0.1))[:30]:
                writer.sample(sample)
        if record:
            writer.end(RunState.REACHED, None if kind == "prove" else to_text(record))
        return reading.read_run(base, 1, lambda _: alive)


def words(run: StoredRun) -> str:
    return " ".join(" ".join(stored.show_lines(run)).split())


def test_the_list_says_of_each_when_what_and_how_it_went() -> None:
    entries = [
        replace(ENTRY, id=18, outcome=RunState.SHORT, held=500, why="7 lost"),
        ENTRY,
        replace(ENTRY, id=9, kind="serve", n=1000, held=990, outcome=RunState.ENDED),
        replace(ENTRY, id=3, kind="prove", n=11, held=11),
    ]
    lines = list(runs.list_lines(entries, whole=True))

    told = [numbers(line.partition("fourtuple")[0]) for line in lines[1:]]
    assert [each[-count:] for each, count in zip(told, (3, 1, 1, 1), strict=True)] == [
        [500, 1000, 7],
        [1000],
        [990],
        [11],
    ]
    assert [entry.outcome in line for line, entry in zip(lines[1:], entries, strict=True)] == [True] * 4
    assert lines[2].endswith(ENTRY.command)


def test_the_list_fits_the_screen_and_names_none_where_there_is_none() -> None:
    long = replace(ENTRY, command="fourtuple hold " + "x" * 500)

    assert all(len(line) <= 80 for line in runs.list_lines([long, ENTRY]))
    assert len(list(runs.list_lines([]))) == 1


def test_one_run_says_what_was_asked_found_changed_planned_and_what_came_of_it() -> None:
    said = words(kept("hold", hold_record()))

    assert "fourtuple hold 1000 127.0.0.1:8000-8003 --for 10s" in said
    for found in ("loadbox", "Linux 6.18.1", "2 × A Processor", "8 GiB", "7 GiB"):
        assert found in said
    assert "RLIMIT_NOFILE (soft)" in said
    assert "1024 → 20000" in said
    assert "127.0.0.1:8000-8003: 4 " in said
    assert hold_record().outcome.says in said


@pytest.mark.parametrize(("alive", "says"), [(True, "fourtuple runs show 1 --follow"), (False, "killed")])
def test_a_run_without_a_record_says_what_it_had_at_its_last_sample(alive: bool, says: str) -> None:
    *_, told, last = stored.show_lines(run := kept("hold", None, alive=alive))

    assert says in words(run)
    assert says != "killed" or "--follow" not in told
    assert numbers(last) == [3, 1000, 0]


def test_a_server_and_a_proof_have_their_own_words() -> None:
    served, proof = words(kept("serve", serve_record())), words(kept("prove", object()))

    assert f"127.0.0.1:8000-8003; ring: {LOOP_BECAUSE}" in words(kept("serve", serve_record(), wanted=None))
    assert next(serve_lines(serve_record())) in served
    assert "✓ same-port" in proof
    assert "✗ one-wall" in proof
    assert numbers(list(stored.show_lines(kept("prove", object())))[-1]) == [1, 2]


def test_two_side_by_side_have_ratios_and_what_is_not_the_same() -> None:
    one = kept("hold", hold_record(rate_per_s=40_000.0))
    two = kept("hold", hold_record(rate_per_s=20_000.0), machine="other", host="elsewhere")
    lines = list(compare_lines(compare(one, two)))
    anyway = list(compare_lines(compare(one, two, anyway=True)))

    def rate(lines: list[str]) -> list[str]:
        return next(line for line in lines if line.startswith("opening rate")).split()[2:]

    assert "--anyway" in " ".join(lines[:2])
    assert "--anyway" not in " ".join(anyway)
    assert any("loadbox (012345) / elsewhere (other)" in line for line in lines)
    assert rate(lines) == ["40,000/s", "20,000/s"]
    assert rate(anyway) == ["40,000/s", "20,000/s", "0.50", "×", "worse"]
    assert all(len(line) <= 80 for line in lines)
