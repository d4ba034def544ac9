"""Runs that are kept, from the command: stored as they happen, killed, followed, compared, exported, made a page of."""

import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND, Ground, fourtuple
from tests.told import READY, joined, numbers
from tests.waiting import PATIENCE_S, has_gone_on, wait_until

CANNOT, USAGE = 77, 2


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "runs.db")


def runs(ground: Ground, *arguments: str, store: str) -> "subprocess.CompletedProcess[str]":
    return ground.fourtuple("runs", *arguments, "--store", store)


def listed(ground: Ground, store: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(runs(ground, "--json", store=store).stdout)
    return found


def rows_of(ground: Ground, store: str) -> list[dict[str, str]]:
    """The samples of the newest run, as far as they are stored."""
    return list(csv.DictReader(io.StringIO(runs(ground, "export", "--csv", store=store).stdout)))


def test_a_hold_is_stored_with_what_was_asked_found_planned_and_what_came_of_it(ground: Ground, store: str) -> None:
    """The record in the store is the one that the command printed; its samples lead from nothing to all and back."""
    asked = ["hold", "997", "127.0.0.1:7777", "--for", "1s", "--store", store, "--json"]
    with ground.serving("127.0.0.1:7777", "--no-store"):
        record = json.loads(ground.fourtuple(*asked).stdout)
    entry = listed(ground, store)[0]
    whole = json.loads(runs(ground, "export", "1", "--json", store=store).stdout)
    samples = whole["samples"]

    assert record.pop("run") == 1
    assert whole["record"] == record
    assert (entry["id"], entry["outcome"], entry["n"], entry["held"]) == (1, "reached", 997, 997)
    assert entry["command"] == f"FOURTUPLE_LOOP=auto fourtuple {' '.join(asked)}"
    assert whole["start"]["planned"]["predicted"] == 997
    assert whole["start"]["found"]["kernel"] == os.uname().release
    assert (samples[0]["phase"], samples[-1]["phase"]) == ("opening", "closed")
    assert max(sample["open"] for sample in samples) == 997
    assert samples[-1]["open"] == 0
    assert sum(grown["count"] for grown in whole["connect_us"]) == 997
    assert record["sharing"]["ports"] == 997
    assert record["sharing"]["pairs"] == [
        {"source": "127.0.0.1", "destination": "127.0.0.1:7777", "pairs": 1, "used": 997}
    ]
    assert record["moved"]["ActiveOpens"] == 997
    assert record["time_wait_left"] == 0


def test_time_wait_that_is_left_is_counted(ground: Ground, store: str) -> None:
    """Who closes first by FIN keeps them, as the kernel and ss say, too."""
    with ground.serving("127.0.0.1:7777", "--no-store"):
        asked = ["hold", "23", "127.0.0.1:7777", "--for", "0s", "--close", "fin", "--store", store, "--json"]
        record = json.loads(ground.fourtuple(*asked).stdout)
        left = len(ground.ss("-tan", "state", "time-wait"))

        asked = ["hold", "5", "127.0.0.1:7777", "--for", "0s", "--store", store, "--json"]
        second = json.loads(ground.fourtuple(*asked).stdout)

    assert record["time_wait_left"] == left <= 23
    assert left > 0
    assert second["time_wait_left"] == 0  # those of the run before are not its own


def test_text_says_where_the_run_is_and_the_next_command_works(ground: Ground, tmp_path: Path) -> None:
    """With --store the hint names the file, too."""
    (tmp_path / "a folder").mkdir()
    file = str(tmp_path / "a folder" / "runs.db")
    with ground.serving("127.0.0.1:7777", "--no-store"):
        done = ground.fourtuple("hold", "23", "127.0.0.1:7777", "--for", "0s", "--store", file)
    hint = done.stdout.splitlines()[-1]
    shown = runs(ground, "show", "1", store=file)

    assert hint.endswith(f"fourtuple report 1 --store '{file}'")
    assert "FOURTUPLE_LOOP=auto fourtuple hold 23 127.0.0.1:7777" in shown.stdout
    assert json.loads(runs(ground, "show", "1", "--json", store=file).stdout)["record"]["held"] == 23


def test_a_hold_that_is_killed_is_readable_up_to_its_last_sample_and_says_so(ground: Ground, store: str) -> None:
    """kill -9 in the middle: the list says killed; show, export and report have what was stored until then."""
    with ground.serving("127.0.0.1:7777", "--no-store"):
        asked = ["hold", "997", "127.0.0.1:7777", "--for", "1h", "--store", store]
        with ground.started(*asked) as holding:
            assert wait_until(
                lambda: any(row["open"] == "997" and float(row["at_s"]) > 1 for row in rows_of(ground, store))
            )
            meanwhile = listed(ground, store)[0]
            removed = runs(ground, "rm", "1", store=store)
            holding.kill()
            holding.wait()
        entry = listed(ground, store)[0]
    shown = runs(ground, "show", store=store).stdout
    whole = json.loads(runs(ground, "show", "--json", store=store).stdout)
    rows = rows_of(ground, store)

    assert (meanwhile["outcome"], meanwhile["held"]) == ("running", 997)
    assert (removed.returncode, numbers(removed.stderr)[:1]) == (USAGE, [1])
    assert (entry["outcome"], entry["held"], entry["n"]) == ("killed", 997, 997)
    assert (whole["outcome"], whole["record"]) == ("killed", None)
    assert numbers(shown.splitlines()[-1])[-2:] == [997, 0]  # open and lost at the last sample
    assert rows[-1]["open"] == "997"
    assert float(rows[-1]["at_s"]) > 1


def test_a_second_terminal_follows_a_run_to_its_end(ground: Ground, store: str) -> None:
    """A follower gets the same record at the end as the process that ran it."""
    with ground.serving("127.0.0.1:7777", "--no-store"):
        asked = ["hold", "300", "127.0.0.1:7777", "--rate", "200/s", "--for", "1s", "--store", store, "--json"]
        with ground.started(
            *asked,
            wait_for="",
        ) as holding:
            followed = ground.fourtuple("runs", "show", "--follow", "--json", "--store", store)
            record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])

    told = json.loads(followed.stdout)
    assert told["outcome"] == "reached"
    assert told["record"] == {name: value for name, value in record.items() if name != "run"}


def opened(pid: int, file: str) -> bool:
    links = [*Path(f"/proc/{pid}/fd").iterdir()]
    with suppress(FileNotFoundError):  # one that was closed meanwhile
        return any(os.readlink(link) == file for link in links)
    return False


def test_following_a_run_that_was_killed_ends_with_what_there_is(ground: Ground, store: str) -> None:
    with ground.serving("127.0.0.1:7777", "--no-store"):
        with ground.started("hold", "23", "127.0.0.1:7777", "--for", "1h", "--store", store) as holding:
            program = ground.lab.start(
                [*COMMAND, "runs", "show", "1", "--follow", "--store", store],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert wait_until(lambda: opened(program.pid, store))
            assert wait_until(has_gone_on(program.pid))
            assert wait_until(lambda: any(row["open"] == "23" for row in rows_of(ground, store)))
            holding.kill()
        output, said = program.communicate(timeout=PATIENCE_S)

    assert "killed" in said
    assert numbers(output.splitlines()[-1])[-2:] == [23, 0]


def test_a_terminal_that_is_closed_ends_a_run_in_order(ground: Ground, store: str) -> None:
    """SIGHUP, as Ctrl-C: the record is complete, and says that it was interrupted."""
    with ground.serving("127.0.0.1:7777", "--no-store"):
        asked = ["hold", "23", "127.0.0.1:7777", "--for", "1h", "--store", store, "--json"]
        with ground.started(*asked) as holding:
            holding.send_signal(signal.SIGHUP)
            record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])
    text = runs(ground, store=store).stdout

    assert (record["held"], record["interrupted"]) == (23, True)
    assert "23 held, interrupted" in text


def test_what_was_lost_stands_in_the_list(ground: Ground, store: str) -> None:
    """All were held at once, so it is reached; that they were lost afterwards is not hidden by that."""
    asked = ["hold", "23", "127.0.0.1:7777", "--for", "1h", "--store", store]
    with ground.started("serve", "127.0.0.1:7777", "--no-store") as serving, ground.started(*asked) as holding:
        serving.kill()
        holding.communicate(timeout=PATIENCE_S)
    text = runs(ground, store=store).stdout

    assert "23 held, 23 lost" in text


def test_two_runs_at_once_write_to_one_store(ground: Ground, store: str) -> None:
    """Three writers, one of them a server; each run is complete."""
    with ground.started("serve", "127.0.0.1:7777-7778", "--store", store, "--json") as serving:
        programs = [
            ground.lab.start(
                [*COMMAND, "hold", "499", f"127.0.0.1:{port}", "--for", "1s", "--store", store, "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for port in (7777, 7778)
        ]  # fmt: skip
        records = [json.loads(program.communicate(timeout=PATIENCE_S)[0]) for program in programs]
        serving.send_signal(signal.SIGINT)
        served = json.loads(serving.communicate(timeout=PATIENCE_S)[0])
    entries = {entry["id"]: entry for entry in listed(ground, store)}

    assert {record["run"] for record in records} == {2, 3}
    assert served["run"] == 1
    assert [entries[number]["outcome"] for number in (1, 2, 3)] == ["ended", "reached", "reached"]
    assert entries[1]["n"] == 998
    for record in records:
        whole = json.loads(runs(ground, "export", str(record["run"]), "--json", store=store).stdout)
        assert whole["samples"][-1]["closed"] == 499
        assert sum(grown["count"] for grown in whole["connect_us"]) == 499


def test_runs_are_compared_exported_and_removed(ground: Ground, store: str, tmp_path: Path) -> None:
    with ground.serving("127.0.0.1:7777", "--no-store"):
        for count in ("23", "46"):
            ground.fourtuple("hold", count, "127.0.0.1:7777", "--for", "0s", "--store", store)
    compared = json.loads(ground.fourtuple("compare", "1", "2", "--store", store, "--json").stdout)
    text = ground.fourtuple("compare", "1", "2", "--store", store).stdout
    parquet = runs(ground, "export", "2", "--parquet", "-o", str(tmp_path / "run.parquet"), store=store)
    piped = runs(ground, "export", "2", "--csv", "-o", "-", store=store).stdout
    removed = runs(ground, "rm", "1", store=store)
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(tmp_path / "run.parquet")
    held = next(row for row in compared["numbers"] if row["name"] == "held")

    assert held == {"name": "held", "unit": "count", "first": 23, "second": 46, "ratio": 2.0, "tendency": "better"}
    assert compared["other_machine"] is False
    assert re.search(r"^held +23 +46 +2.00 ×  better$", text, re.M)
    assert (parquet.returncode, parquet.stdout) == (0, "")
    assert piped.startswith("at_s,phase,wanted,")
    assert max(table["open"].to_pylist()) == 46
    assert (removed.returncode, numbers(removed.stdout)) == (0, [1])
    assert [entry["id"] for entry in listed(ground, store)] == [2]


def test_a_report_is_written_from_the_store(ground: Ground, store: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    with ground.serving("127.0.0.1:7777", "--no-store"):
        ground.fourtuple("hold", "23", "127.0.0.1:7777", "--for", "0s", "--store", store)
    done = ground.fourtuple("report", "-o", str(page), "--store", store)
    unwritable = ground.fourtuple("report", "1", "-o", str(tmp_path / "no/such/page.html"), "--store", store)

    assert f"{page}: {len(page.read_bytes()) / 1024:,.0f} KiB" in done.stdout
    assert "fourtuple hold 23 127.0.0.1:7777" in page.read_text()
    assert (unwritable.returncode, "no/such/page.html" in joined(unwritable.stderr)) == (USAGE, True)


def test_a_proof_is_stored_lesson_by_lesson_and_has_its_page(ground: Ground, store: str, tmp_path: Path) -> None:
    page, other = tmp_path / "page.html", tmp_path / "other.html"
    done = ground.fourtuple("prove", "theory", "one-wall", "--store", store, "--report", str(page), "--json")
    unstored = ground.fourtuple("prove", "theory", "--no-store", "--report", str(other))
    entry = listed(ground, store)[0]
    shown = json.loads(runs(ground, "show", "--json", store=store).stdout)

    assert json.loads(done.stdout)["run"] == 1
    assert (entry["kind"], entry["outcome"], entry["n"], entry["held"]) == ("prove", "reached", 2, 2)
    assert [lesson["name"] for lesson in shown["lessons"]] == ["theory", "one-wall"]
    for file, lessons in ((page, ["theory", "one-wall"]), (other, ["theory"])):
        assert re.findall(r'<article class="card holds" id="([^"]+)"', file.read_text()) == lessons
    assert "fourtuple report" not in unstored.stdout


def test_a_run_that_nobody_can_store_goes_on_and_says_so(ground: Ground, tmp_path: Path) -> None:
    """An unusable default file gives a warning; an unusable --store file is refused before the run begins."""
    (tmp_path / "file").write_text("")
    with ground.serving("127.0.0.1:7777", "--no-store") as served:
        asked = [*COMMAND, "hold", "23", "127.0.0.1:7777", "--for", "0s"]
        usual = ground.run("env", f"XDG_STATE_HOME={tmp_path / 'file'}", *asked, "--json")
        refused = ground.fourtuple(*asked[len(COMMAND) :], "--store", str(tmp_path / "absent" / "runs.db"))
    record = json.loads(usual.stdout)

    assert (record["held"], record["run"]) == (23, None)
    assert str(tmp_path / "file") in joined(usual.stderr)
    assert refused.returncode == USAGE
    assert not (tmp_path / "absent").exists()
    for name in (str(tmp_path / "absent"), "--store", "--no-store"):
        assert name in joined(refused.stderr)
    assert served["accepted"] == 23


def test_a_file_whose_name_is_no_text_is_a_file(ground: Ground, tmp_path: Path) -> None:
    """A name is any bytes; what was typed is stored so that it can be pasted into a shell."""
    file = str(tmp_path / os.fsdecode(b"\xff.db"))
    with ground.serving("127.0.0.1:7777", "--no-store"):
        done = ground.fourtuple("hold", "23", "127.0.0.1:7777", "--for", "0s", "--store", file, "--json")

    assert json.loads(done.stdout)["run"] == 1
    assert listed(ground, file)[0]["command"].endswith(f" --store $'{tmp_path}/\\xff.db' --json")


def test_a_run_that_is_refused_before_it_begins_is_not_stored(ground: Ground, store: str) -> None:
    done = ground.fourtuple("hold", "10", "127.0.0.1", "--store", store)

    assert done.returncode == USAGE
    assert not Path(store).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (["runs", "show", "7"], USAGE, "runs.db"),
        (["runs", "--outcome", "good"], USAGE, "--outcome good"),
        (["runs", "export", "1"], USAGE, "--csv"),
        (["runs", "export", "1", "--parquet"], USAGE, "-o run.parquet"),
        (["runs", "show", "0"], USAGE, "a whole number from 1"),  # x would be a name
        (["runs", "rm"], USAGE, "ID... is missing"),
        (["compare", "1"], USAGE, "ID is missing"),
        (["report", "1"], USAGE, "runs.db"),
        (["hold", "10", "127.0.0.1:80", "--store", "x", "--no-store"], USAGE, "--no-store"),
        (["prove", "--report", "/no/such/folder/page.html", "--no-store"], USAGE, "/no/such/folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_told_what_is_wrong(arguments: list[str], code: int, names: str, tmp_path: Path) -> None:
    done = fourtuple(*arguments, env=os.environ | {"XDG_STATE_HOME": str(tmp_path)}, cwd=tmp_path)

    assert done.returncode == code
    assert names in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_nothing_stored_yet_is_an_empty_list(tmp_path: Path) -> None:
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}

    assert fourtuple("runs", "--json", env=environment).stdout == "[]\n"
    assert (done := fourtuple("runs", env=environment)).returncode == 0
    assert done.stdout.count("\n") == 1  # no head of a table that has no rows


def on_a_terminal(ground: Ground, *command: str) -> Iterator[str]:
    """What a terminal of 80 columns is given, piece by piece, until the command ends."""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    program = ground.lab.start([*COMMAND, *command], stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    try:
        while True:
            ready, _, _ = select.select([leader], [], [], PATIENCE_S)
            if not ready:
                raise TimeoutError(command)
            yield os.read(leader, 1 << 16).decode(errors="replace")
    except OSError:  # EIO: nobody has the other end any more
        return
    finally:
        program.wait(PATIENCE_S)
        os.close(leader)


def test_a_terminal_shows_the_live_view_and_then_the_result_alone(ground: Ground, store: str) -> None:
    """Progress, witnesses and ports while it opens; what is left on the screen is the result."""
    with ground.serving("127.0.0.1:7777", "--no-store"):
        asked = ["hold", "600", "127.0.0.1:7777", "--rate", "400/s", "--for", "1s", "--store", store]
        told = "".join(on_a_terminal(ground, *asked))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told)
    before, hint, _ = plain.rpartition("fourtuple report 1")
    tail = before.rpartition("600 + 600")[2]  # that is in the view's last line

    assert "600 → 127.0.0.1:7777 " in plain
    assert re.search(r"\d+ \w+ 28,23\d ", plain)
    assert re.search(r" 600   \w+ \d+   \w+ \w+ \d+\s", plain)  # the plan, the engine, about what the kernel counts
    assert f"{READY['hold']} 600 " in plain
    assert 600 in numbers(tail)
    assert hint
    assert told.count("\x1b[?25l") == told.count("\x1b[?25h")  # the cursor is hidden, and shown again


def test_a_log_on_a_terminal_is_not_torn_by_the_live_view(ground: Ground, store: str) -> None:
    with ground.serving("127.0.0.1:7777", "--no-store"):
        asked = ["hold", "23", "127.0.0.1:7777", "--for", "1s", "--log", "--store", store]
        told = "".join(on_a_terminal(ground, *asked))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told).replace("\r", "").split("\n")

    assert len([line for line in lines if re.fullmatch(r"connected  127\.0\.0\.1:\d+ → 127\.0\.0\.1:7777", line)]) == 23
