"""What reaches a terminal: no control character but our own, whichever command shows whatever text of others."""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fourtuple.core.census.gauges import Gauges
from fourtuple.core.runs.entry import RunState
from fourtuple.core.visible import visible
from fourtuple.faces.export.metrics import Exporter
from fourtuple.faces.page import report
from fourtuple.faces.printer import picture, tell
from fourtuple.faces.terminal.screen import Screen
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.conftest import Ground, fourtuple
from tests.faces.text.test_runs import kept
from tests.made import hold_record, samples, start

HOSTILE = "=x\x1b]0;t\x07\n\x9b1m\u202e\u2066\udcff"


def harmless(text: str) -> bool:
    """Nothing but printable characters and line ends."""
    return text.replace("\n", "").isprintable()


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("one\ntwo", f"▸ {HOSTILE}", "")
    tell("error\x1b[2J", to=sys.stderr)
    out, err = capsys.readouterr()

    assert out.split("\n") == [r"one\ntwo", f"▸ {visible(HOSTILE)}", "", ""]
    assert err == "error\\x1b[2J\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LINES = (
    "room for none",
    "▸ open files",
    "  ports   28,232    BLOCKS",
    "✗ one-wall: no",
    "✓ theory: yes",
    "  plain ✓ BLOCKSX",
    HOSTILE,
)


def printed(stream: io.StringIO) -> str:
    tell(*LINES, to=stream, headlines=1)
    return stream.getvalue()


def test_a_terminal_gets_weight_and_colour_where_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer, the limit that binds, what blocks, fails and holds; without these codes the text is the same."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = printed(Terminal()).split("\n")

    assert [number for number, line in enumerate(shown) if "\033" in line] == [0, 1, 2, 3, 4]
    assert re.sub(r"\033\[[0-9;]*m", "", "\n".join(shown)) == printed(io.StringIO())


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colour_gets_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)

    assert "\033" not in printed(Terminal())


def test_a_pipe_gets_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)

    assert harmless(printed(io.StringIO()))


def test_what_the_encoding_lacks_is_said_in_characters_that_it_has() -> None:
    """An arrow is `->`; what has no counterpart is an escape."""
    imports = "from fourtuple.faces.printer import tell; from fourtuple.faces.text.encodable import make_encodable"
    code = f"import sys; {imports}; make_encodable(sys.stdout); tell('→ é', '10.0.0.4')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)

    assert done.stdout == b"-> \\xe9\n10.0.0.4\n"


def test_where_there_is_no_output_nothing_is_printed() -> None:
    """Python has no stream where the descriptor was closed when it started."""
    code = "from fourtuple.faces.printer import hand_over, tell; tell('x'); hand_over(b'x')"
    done = subprocess.run(["sh", "-c", f'exec "{sys.executable}" -c "{code}" >&-'], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_live_screen_has_its_own_colours_and_nothing_of_others() -> None:
    """The bars and the bold head are drawn; what a destination is called cannot set the title."""
    first = next(iter(samples()))
    planned = start().planned
    assert planned is not None
    began = replace(start(), planned=replace(planned, destinations=(HOSTILE,), sources=(HOSTILE,)))
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    console.print(Screen().draw(replace(first, start=began)))
    console.print(picture(HOSTILE, style="bold red"))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]

    assert "\x1b[1m" in drawn
    assert harmless(re.sub(r"\x1b\[[0-9;]*m", "", drawn))


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store whose run has hostile text wherever text of others can be."""
    file = tmp_path / "runs.db"
    base = open_store(file, new=True)
    text = HOSTILE.replace("\udcff", "")  # SQLite has UTF-8
    writer = Writer(base, f"fourtuple hold 1 {text}", "me")
    began = start(host=text, cpu=text)
    planned = replace(began.planned, destinations=(text,), loop_because=text) if began.planned else None
    writer.begin(replace(began, planned=planned))
    for sample in list(samples(every_s=0.1))[:30]:
        writer.sample(sample)
    writer.end(RunState.BROKEN, to_text(replace(hold_record(), stopped_by=text)), text)
    base.close()
    return str(file)


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs",),
        ("runs", "--json"),
        ("runs", "show"),
        ("runs", "show", "--json"),
        ("runs", "export", "--csv"),
        ("runs", "export", "--json"),
        ("compare", "1", "1"),
        ("compare", "1", "1", "--json"),
        ("report", "-o", "-"),
    ],
)
def test_a_stored_run_is_shown_without_harm(store: str, arguments: tuple[str, ...]) -> None:
    done = fourtuple(*arguments, "--store", store)

    assert done.returncode == 0
    assert done.stderr in ("", "run 1 (hold), the newest\n")
    assert harmless(done.stdout.replace("\t", "") if "report" in arguments else done.stdout)
    lines = done.stdout.splitlines()
    assert "--json" not in arguments or len(lines) == 1
    assert arguments != ("runs",) or len(lines) == 2


def test_a_page_has_no_hidden_direction() -> None:
    """The text is there as an escape; our own style and scripts are as they are."""
    run = kept("hold", hold_record(), host=HOSTILE.replace("\udcff", ""))  # SQLite has UTF-8
    page = report.run_page(replace(run, entry=replace(run.entry, command=HOSTILE, why=HOSTILE)))

    assert visible(HOSTILE) in page.replace("&#39;", "'")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)


def test_a_label_of_a_metric_is_visible() -> None:
    from tests.screens.export import _gauges

    gauges: Gauges = replace(_gauges(50), kernel=HOSTILE)
    exporter = Exporter()
    exporter.publish(gauges)
    labels = [value for family in exporter.collect() for each in family.samples for value in each.labels.values()]

    assert visible(HOSTILE) in labels
    assert all(label.isprintable() for label in labels)


NAMED = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(errors="surrogateescape"))  # PR_SET_NAME
server = socket.create_server(("127.0.0.1", 8000))
held = [socket.create_connection(("127.0.0.1", 8000)) for _ in range(3)]
print("there", flush=True)
sys.stdin.readline()
"""
NAMES = ("\x1b]0;own\x07", "a\nb", "=1+1", "\x9b1m\u202e", "\udcff\udc80")


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_process_is_shown_without_harm(ground: Ground, name: str) -> None:
    """Any process can choose its own: in the census by pair and by process, as text, CSV and JSON, and in limits."""
    program = ground.lab.start(
        [sys.executable, "-c", NAMED, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "there\n"
        shown = [
            ground.fourtuple(*arguments)
            for arguments in (
                ("census",),
                ("census", "--csv"),
                ("census", "--json"),
                ("census", "--by", "process"),
                ("census", "--by", "process", "--csv"),
                ("limits", "--pid", str(program.pid)),
                ("why", "99", "--dest", "127.0.0.1:8000"),
            )
        ]
    finally:
        program.kill()
        program.communicate()

    for done in shown:
        assert harmless(done.stdout), done.args
        assert done.stderr == ""
    assert visible(name) in shown[3].stdout
    assert [len(done.stdout.splitlines()) for done in (shown[1], shown[2], shown[4])] == [3, 1, 3]
    said = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    assert any(said in each["owner"] for each in json.loads(shown[2].stdout)["pairs"])
