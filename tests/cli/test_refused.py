"""What is refused about a command line: one form of errors, the right words beside it, and JSON where that is asked."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from fourtuple.cli import ALIASES, cli
from fourtuple.cli.other_tools import NAMES
from fourtuple.cli.refused import asks_for_json
from tests.conftest import fourtuple
from tests.screens.errors import COMMANDS


def run(command: str) -> Result:
    return CliRunner().invoke(cli, shlex.split(command), prog_name="fourtuple")


def error_of(command: str) -> dict[str, Any]:
    """The error in JSON on standard output. Fails if there is anything else."""
    record: dict[str, Any] = json.loads(run(command).stdout)["error"]
    return record


def every(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The commands of all groups, with what is typed to get there."""
    yield path, command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from every(each, (*path, name))


ALL = {" ".join(path): command for path, command in every(cli) if path}
WITH_JSON = [
    name
    for name, command in ALL.items()
    if any("--json" in param.opts for param in command.params) and not isinstance(command, click.Group)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_has_our_form_and_a_next_step(command: str) -> None:
    done = run(command)
    lines = done.stderr.splitlines()

    assert done.exit_code == 2
    assert lines[0].startswith("error: ")
    assert any(line.startswith("try:   ") for line in lines)
    assert "Usage:" not in done.stderr
    assert "Error:" not in done.stderr


@pytest.mark.parametrize("name", WITH_JSON)
def test_every_command_with_json_has_its_errors_in_json(name: str) -> None:
    """Also where the parser stops before it has seen --json, and wherever --json stands."""
    for command in (f"{name} --nonsense --json", f"{name} --json --nonsense"):
        error = error_of(command)

        assert (error["kind"], error["exit_code"]) == ("UsageError", 2)
        assert "--nonsense" in error["wanted"]
        assert name in error["do"]


@pytest.mark.parametrize(
    ("command", "asks"),
    [
        ("hold --json", True),
        ("hold", False),
        ("hold 10 127.0.0.1:80 --send --json", False),
        ("check --json -- curl", True),
        ("check curl --json", False),
        ("check -- curl --json", False),
        ("why -- --json", False),
        ("runs show 1 --json", True),
        ("runs export --json", True),
        ("runs export --csv", False),
        ("fleet hold 10 --json", True),
        ("undo --json", False),
        ("nonsense --json", False),
        ("--json", False),
        ("", False),
    ],
)
def test_json_is_asked_for_by_the_option_and_not_by_the_word(command: str, asks: bool) -> None:
    assert asks_for_json(cli, shlex.split(command)) is asks


def test_an_error_after_the_result_leaves_the_result_alone() -> None:
    """Standard output has one document."""
    done = run("runs export 1 --json --store /no/such/file")

    assert [json.loads(line)["error"]["exit_code"] for line in done.stdout.splitlines()] == [2]
    assert run("prove --list --json").stdout.count("error") == 0


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("limit", "limits"),
        ("Hold", "hold"),
        ("runs SHOWS 1", "show"),
        ("fleet hots", "hosts"),
        ("hold 10 127.0.0.1:80 --strateg late", "--strategy"),
        ("limits --From x", "--from"),
        ("hold 10 127.0.0.1:80 --durration 5s", "--for"),
        ("hold 10 127.0.0.1:80 --strategy noprt", "noport"),
        ("census --by prot", "port"),
        ("census --state establish", "established"),
        ("plan 10 127.0.0.1:80 --nat asw", "aws"),
        ("check --expect sharde -- true", "shared"),
        ("check --serve greets -- true", "greet"),
        ("prove past65536", "past-65536"),
        ("runs --outcome reachd", "reached"),
        ("why ECONREFUSED", "ECONNREFUSED"),
        ("hold 10 127.0.0.1:80 --require hedl>=5", "held"),
        ("hold 10 htps://127.0.0.1", "https"),
    ],
)
def test_a_misspelt_name_gets_the_right_one(command: str, meant: str) -> None:
    done = run(command)

    assert done.exit_code == 2
    assert re.search(rf"(?:Did you mean|nearest name is) {re.escape(meant)}\b", " ".join(done.stderr.split()))


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("hold 10 https://h --cacert x", "--ca"),
        ("hold 10 https://h -k", "--insecure"),
        ("hold 10 https://h --servername x", "--sni"),
        ("hold 10 https://h --resolve h:443:127.0.0.1", "--sni"),
        ("hold 10 http://h -X POST", "--method"),
        ("hold 10 http://h -H 'A: b'", "--header"),
        ("hold 10 http://h --data x", "--send"),
        ("hold 10 h:1 --time 5s", "--for"),
        ("hold 10 h:1 -d 5s", "--for"),
        ("hold 10 h:1 --rps 5", "--rate"),
        ("hold h:1 -c 10", "fourtuple hold N"),
        ("hold h:1 --connections 10", "fourtuple hold N"),
        ("hold h:1 -n 10", "fourtuple hold N"),
        ("plan h:1 --connections 10", "fourtuple plan N"),
        ("churn 5/s h:1 -c 10", "--at-once"),
        ("churn 5/s h:1 -n 10", "--requests"),
        ("churn h:1 --rps 5", "fourtuple churn RATE"),
        ("serve --port 80", "fourtuple serve HOST:PORT"),
        ("hold 10 mqtt://h --username me", "mqtt://USER:PASSWORD@HOST"),
        ("limits --source-ip 127.0.0.1", "--from"),
    ],
)
def test_a_name_of_another_tool_gets_ours(command: str, meant: str) -> None:
    done = run(command)

    assert done.exit_code == 2
    assert re.search(rf"(?:Did you mean|or|by|Write) `?{re.escape(meant)}(?![\w-])", " ".join(done.stderr.split()))


def test_the_names_of_other_tools_stand_for_options_and_arguments_that_there_are() -> None:
    params = [param for command in ALL.values() for param in command.params]
    options = {name.lstrip("-") for param in params for name in param.opts if isinstance(param, click.Option)}
    arguments = [param.metavar or "" for param in params if isinstance(param, click.Argument)]

    for own in NAMES:
        assert own in options or (own.isupper() and any(metavar.startswith(own) for metavar in arguments))


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("hold 127.0.0.1:8000 10", "fourtuple hold 10 127.0.0.1:8000"),
        ("hold unix:/x 1,000", "fourtuple hold 1,000 unix:/x"),
        ("hold x.sock 10k", "fourtuple hold 10k x.sock"),
        ("hold example.com:80 h:1 5", "fourtuple hold 5 example.com:80 h:1"),
        ("hold mqtt://me:secret@h 5", "fourtuple hold 5 mqtt://me:…@h"),
        ("hold h:1", "fourtuple hold 100 h:1"),
        ("hold 7", "fourtuple hold 7 127.0.0.1:8000"),
        ("fleet hold h:1 5 --local 1", "fourtuple fleet hold 5 h:1"),
        ("plan h:1 5", "Write 100 h:1"),
        ("fleet plan 127.0.0.1:80 5 --local 1", "Write 100 127.0.0.1:80"),
        ("churn h:1 5/s", "Write 500/s or max before h:1"),
        ("churn unix:x", "Write 500/s or max before unix:x"),
        ("churn maximum h:1", "max,"),
        ("churn 0 h:1", "max,"),
        ("hold many h:1", "Write 100, 20k or 1.5M"),
        ("hold 1.5 h:1", "Write 100, 20k or 1.5M"),
    ],
)
def test_what_stands_in_another_place_gets_the_right_one(command: str, meant: str) -> None:
    """An example that can be typed; passwords are not repeated."""
    done = run(command)

    assert done.exit_code == 2
    assert meant in " ".join(done.stderr.split())
    assert "secret" not in done.stderr


@pytest.mark.parametrize("command", ["hold 5", "churn 5/s", "serve", "plan 5", "limits"])
def test_a_fleet_says_that_a_unix_socket_is_impossible_before_it_asks_for_machines(command: str) -> None:
    assert "unix:x in a fleet" in error_of(f"fleet {command} unix:x --json")["wanted"]


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("hold 5 h:1 --require los", "lost"),
        ("churn 5/s h:1 --require complete", "completed"),
        ("serve :1 --require accept", "accepted"),
    ],
)
def test_of_many_names_only_those_that_are_like_it_are_listed(command: str, meant: str) -> None:
    do = error_of(f"{command}=0 --json")["do"]

    assert meant in do
    assert len(do) < 200


@pytest.mark.parametrize(
    "command",
    [
        "runs export 1 --csv --json",
        "runs export 1 --json --parquet",
        "serve 127.0.0.1:80 --http --mqtt",
        "serve 127.0.0.1:80 --websocket --http",
        "census --csv --json",
        "census --to 127.0.0.1 --from ::1",
    ],
)
def test_options_that_exclude_each_other_are_refused_together(command: str) -> None:
    done = run(command)

    assert done.exit_code == 2
    assert all(word in done.stderr.splitlines()[0] for word in command.split() if word.startswith("--"))


def test_a_proof_that_memory_cannot_hold_is_refused_before_it_begins() -> None:
    done = run("prove past-65536 --connections 100G --json")

    assert (done.exit_code, json.loads(done.stdout)["error"]["kind"]) == (1, "ShortfallError")


@pytest.mark.parametrize(
    "commands",
    [
        "runs --store X, report --store X, compare 1 2 --store X, runs show 1 --store X, runs rm 1 --store X",
        "limits --from X, census --from X, doctor --from X, why 99 --from X, plan 1 127.0.0.1:1 --from X",
        "hold --plan X, fleet hold --plan X --local 1",
        "hold 1 127.0.0.1:1 --send @X, hold 1 127.0.0.1:1 --expect @X, serve 127.0.0.1:1 --greet @X",
    ],
)
@pytest.mark.parametrize("file", ["/no/such/file", "/etc/passwd", "/etc"])
def test_the_same_mistake_has_the_same_exit_code_and_a_next_step(commands: str, file: str) -> None:
    """A file that is missing, a directory, or something else."""
    for command in commands.replace("X", file).split(", "):
        if file == "/etc/passwd" and "@" in command:  # which is a message like any other
            continue
        done = run(command)

        assert done.exit_code == 2, command
        assert "\ntry:   " in done.stderr, command


@pytest.mark.parametrize("other", ALIASES)
def test_an_option_can_be_typed_as_other_tools_call_it(other: str) -> None:
    """It reads the same value: a wrong one is refused by the name that the option has here."""
    own = f"--{ALIASES[other]}"
    error = error_of(f"hold 10 127.0.0.1:80 --{other} nonsense --json")

    assert error["wanted"].startswith(own)
    assert f"--{other}" in run(f"undo --{other} x").stderr


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("hold -5 127.0.0.1:80", "-5"),
        ("hold 10 127.0.0.1:80 --for -5s", "--for"),
        ("hold 10 127.0.0.1:80 --for", "--for"),
        ("limits --json=3", "--json"),
        ("serve 127.0.0.1:80 --backlog x", "--backlog"),
        ("serve 127.0.0.1:80 --greet 32GB", "--greet"),
        ("export --listen a:1", "--listen"),
        ("hold 10 127.0.0.1:80 --metrics x", "--metrics"),
        ("check --through x -- true", "--through"),
        ("hold 10 127.0.0.1:80 --from x", "--from"),
        ("limits --from x", "--from"),
        ("census --from 1.2.3", "--from"),
        ("plan 10 127.0.0.1:80 --assume fs.nr_open=x", "--assume"),
        ("plan 10 127.0.0.1:80 --assume memory=5GB", "--assume"),
        ("hold --stages x 127.0.0.1:80", "--stages"),
        ("hold 10 127.0.0.1:80 --header x", "--header"),
        ("hold 10 127.0.0.1:80 --expect re:(", "--expect"),
        ("churn 10/s 127.0.0.1:80 --lifetime x", "--lifetime"),
        ("hold 10 127.0.0.1:80 --require held>=x", "--require"),
        ("snapshot x --most-bytes 5GB", "--most-bytes"),
        ("census --to x", "--to"),
        ("why 99 --dest x", "--dest"),
        ("why 99 --dest db:80-81", "--dest"),
        ("runs show 0", "ID"),
        ("hold 10 http://127.0.0.1/ --proxy x", "proxy"),
    ],
)
def test_an_error_names_the_option(command: str, names: str) -> None:
    done = run(command)

    assert done.exit_code == 2
    assert names in done.stderr.splitlines()[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_is_as_wide_as_the_terminal(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a word that is longer than the line goes beyond it, and nothing is left out."""
    words = set()
    for columns in (40, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        said = run(command).stderr
        words.add(tuple(said.split()))

        assert all(len(line) <= columns or len(line.split()) <= 2 for line in said.splitlines())
    assert len(words) == 1


LOCALES = [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"NO_COLOR": "1"},
           {"PYTHONIOENCODING": "iso-8859-1"}, {"PYTHONIOENCODING": "ascii"}]  # fmt: skip
STRANGE = ["hold 10 '１２７.1:80'", "hold 10 é€:80 --for ü", "prove '→'", "why ''", "runs --outcome '\x1b[31m'"]


@pytest.mark.parametrize("variables", LOCALES, ids=str)
def test_an_error_can_be_said_in_every_encoding(variables: dict[str, str]) -> None:
    """Also about characters that the encoding does not have, on standard error and in JSON."""
    for command in STRANGE:
        done = fourtuple(*shlex.split(command), env=os.environ | variables, encoding="latin-1")

        assert (done.returncode, done.stderr.startswith("error: ")) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stderr
    done = fourtuple("hold", "10", "é€:80", "--for", "ü", "--json", env=os.environ | variables, encoding="latin-1")

    assert json.loads(done.stdout)["error"]["exit_code"] == 2
