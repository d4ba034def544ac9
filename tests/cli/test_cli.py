"""Bad input: one or two lines that say what and where, the right exit code, no traceback, nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Ground, fourtuple
from tests.told import EVENT
from tests.waiting import PATIENCE_S, has_gone_on, wait_until

USAGE, SHORT = 2, 1


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (["hold", "0", "127.0.0.1:8000"], USAGE, "error: 0 "),
        (
            ["hold", "100000000000000000000000", "127.0.0.1:8000", "--workers", "1"],
            USAGE,
            "100,000,000,000,000,000,000,000",
        ),
        (["hold", "10", "::1:8000"], USAGE, "[::1]:8000"),
        (["hold", "10", "127.0.0.1:80", "--from", "127.0.0.0/8", "127.0.0.1:1-9999"], USAGE, f"{2**24 * 9999:,}"),
        (["hold", "10", "[::1]:80", "--from", "fe80::1"], USAGE, "fe80::1"),
        (["hold", "10", "[::1]:80", "--from", "fd00::/64"], USAGE, f"{2**64:,}"),
        (["hold", "--", "-5", "127.0.0.1:8000"], USAGE, "'-5'"),
        (["hold", "many", "127.0.0.1:8000"], USAGE, "'many'"),
        (["hold", "10"], USAGE, "--plan"),
        (["hold"], USAGE, "--plan"),
        (["hold", "10", "--plan", "x"], USAGE, "--plan"),
        (["hold", "--plan", "/no/such/file"], USAGE, "/no/such/file"),
        (["hold", "--plan", "/dev/null"], USAGE, "/dev/null"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "bind0"], USAGE, "'bind0'"),
        (["limits", "127.0.0.1"], USAGE, "'127.0.0.1'"),
        (["limits", "--from", "127.0.0.2"], USAGE, "--from"),
        (["limits", "--pid", "99999999"], USAGE, "99999999"),
        (["limits", "--netns", "no-such-name"], USAGE, "no-such-name"),
        (["limits", "--role", "both"], USAGE, "'both'"),
        (["limits", "127.0.0.1:80", "--from", "10.99.99.99"], USAGE, "10.99.99.99"),
        (["plan", "0", "127.0.0.1:80"], USAGE, "error: 0 "),
        (["plan", "10"], USAGE, "HOST:PORT"),
        (["plan", "10", "127.0.0.1:80", "--nat", "other"], USAGE, "'other'"),
        (["plan", "10", "127.0.0.1:80", "--write", "/no/such/folder/x"], USAGE, "/no/such/folder/x"),
        (["hold", "10", "127.0.0.1"], USAGE, "'127.0.0.1'"),
        (["hold", "10", "127.0.0.1:70000"], USAGE, "70000"),
        (["hold", "10", "127.0.0.1:0"], USAGE, "'127.0.0.1:0'"),
        (["hold", "10", "127.0.0.1:9-8"], USAGE, "'127.0.0.1:9-8'"),
        (["hold", "10", "no.such.host.invalid:80"], USAGE, "no.such.host.invalid"),
        (["hold", "10", "[::1]:80", "127.0.0.1:80"], USAGE, "IPv6"),
        (["hold", "10", "127.0.0.1:80", "--from", "10.99.99.99"], USAGE, "EADDRNOTAVAIL 99"),
        (["hold", "10", "127.0.0.1:80", "--from", "nonsense"], USAGE, "'nonsense'"),
        (["hold", "10", "127.0.0.1:80", "--from", "::1"], USAGE, "IPv6"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "lucky"], USAGE, "'lucky'"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "plain", "--from", "127.0.0.1"], USAGE, "--strategy plain"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "late", "--from", "127.0.0.1:99"], USAGE, "--strategy late"),
        (["hold", "10", "127.0.0.1:80", "--rate", "0"], USAGE, "'0'"),
        (["hold", "10", "127.0.0.1:80", "--for", "10"], USAGE, "'10'"),
        (["hold", "1001", "8.8.8.8:80"], USAGE, "--i-own-this-target"),
        (["hold", "10", "8000"], USAGE, "127.0.0.1:8000"),
        (["hold", "10", "127.0.0.1:80", "--timeout", "0s"], USAGE, "1 ms"),
        (["hold", "10", "127.0.0.1:80", "--watch", "off", "--reconnect"], USAGE, "--reconnect"),
        (["hold", "10", "127.0.0.1:80", "--watch", "census", "--send", "x"], USAGE, "--watch census"),
        (["hold", "10", "127.0.0.1:80", "--expect", "x", "--watch", "off"], USAGE, "--watch off"),
        (["hold", "10", "127.0.0.1:80", "--send", "@/no/such/file"], USAGE, "/no/such/file"),
        (["hold", "10", "127.0.0.1:80", "--send", "1GiB"], USAGE, "16 MiB"),
        (["hold", "10", "127.0.0.1:80", "--send", ""], USAGE, "error: "),
        (["hold", "10", "127.0.0.1:80", "--send", "@/dev/null"], USAGE, "not a regular file"),
        (["hold", "10", "127.0.0.1:80", "--send", "@/dev/zero"], USAGE, "not a regular file"),
        (["hold", "10", "127.0.0.1:80", "--every", "5s"], USAGE, "--every"),
        (["lab", "--", ""], USAGE, "error: "),
        (["serve", "127.0.0.1:8000", "--echo", "--watch", "census"], USAGE, "--echo"),
        (["serve"], USAGE, "HOST:PORT"),
        (["prove", "theory", "--connections", "100k"], USAGE, "--connections"),
        (["serve", "127.0.0.1"], USAGE, "'127.0.0.1'"),
        (["serve", "10.99.99.99:8000"], USAGE, "10.99.99.99"),
        (["prove", "nonsense"], USAGE, "'nonsense'"),
        (["nonsense"], USAGE, "'nonsense'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_told_what_is_wrong(arguments: list[str], code: int, names: str) -> None:
    """By its name or value; the sentences are screens, see tests/screens/errors.py."""
    done = fourtuple(*arguments)

    assert done.returncode == code
    assert names in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_destination_where_nobody_listens(ground: Ground) -> None:
    """It falls short, and says by which errno."""
    done = ground.fourtuple("hold", "1000", "127.0.0.1:7777", "--for", "0s", "--json")
    record = json.loads(done.stdout)

    assert done.returncode == SHORT
    assert (record["held"], record["failed"]) == (0, {"ECONNREFUSED": 1000})
    assert "Traceback" not in done.stderr


def test_most_of_the_blame_goes_to_what_ended_most_ways(ground: Ground) -> None:
    """One server of four is there, and full: the rest has failed because three are missing, and that comes first."""
    ground.set_port_range(40_000, 40_099)
    with ground.serving("127.0.0.1:8000"):
        record = json.loads(ground.fourtuple("hold", "400", "127.0.0.1:8000-8003", "--for", "0s", "--json").stdout)

    assert record["held"] == 100
    assert next(iter(record["failed"].items())) == ("ECONNREFUSED", 300)


def test_a_second_ctrl_c_drops_everything_at_once(ground: Ground) -> None:
    """Also where the workers hang: nothing is waited for, and the exit code is a shell's for SIGINT."""
    slowly = ["hold", "1000", "127.0.0.1:7777", "--workers", "2", "--rate", "100/s", "--log", "--json"]
    with ground.serving("127.0.0.1:7777"), ground.started(*slowly, wait_for=EVENT) as holding:
        for worker in Path(f"/proc/{holding.pid}/task/{holding.pid}/children").read_text().split():
            os.kill(int(worker), signal.SIGSTOP)
        holding.send_signal(signal.SIGINT)
        assert wait_until(has_gone_on(holding.pid))
        holding.send_signal(signal.SIGINT)
        output, errors = holding.communicate(timeout=PATIENCE_S)

    assert (holding.returncode, output) == (130, "")
    assert "Traceback" not in errors


def test_no_way_to_a_destination(ground: Ground) -> None:
    done = ground.fourtuple("hold", "10", "10.1.2.3:80")

    assert done.returncode == SHORT
    assert "10.1.2.3" in done.stderr
    assert "ENETUNREACH" in done.stderr


def test_more_than_memory_allows_is_refused_before_it_hurts(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        done = ground.fourtuple("hold", "500M", "127.0.0.1:7777", "--workers", "1")

    assert done.returncode == SHORT
    assert "3.64 TiB" in " ".join(done.stderr.split())


def test_an_address_that_is_taken(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        done = ground.fourtuple("serve", "127.0.0.1:7776-7778")

    assert done.returncode == SHORT
    assert "127.0.0.1:7777" in done.stderr
    assert "EADDRINUSE 98" in done.stderr


def test_more_listeners_than_files(ground: Ground) -> None:
    done = ground.run("sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND, "serve", "127.0.0.1:8000-8099")

    assert done.returncode == SHORT
    assert re.search(r"\b100\b", done.stderr)
    assert "RLIMIT_NOFILE 64" in done.stderr


def test_an_error_names_what_is_wrong_and_what_to_try() -> None:
    """Each on lines of its own; how they look is a screen, tests/screens/errors.py."""
    lines = fourtuple("hold", "10", "127.0.0.1:80", "--from", "10.99.99.99").stderr.splitlines()
    first_try = next(number for number, line in enumerate(lines) if line.startswith("try: "))
    wrong, to_try = " ".join(lines[:first_try]), " ".join(lines[first_try:])

    assert wrong.startswith("error: ")
    assert "10.99.99.99" in wrong
    assert "EADDRNOTAVAIL 99" in " ".join(wrong.split())
    assert "ip address" in to_try
    assert all(line.startswith(("error: ", "try:   ", " " * 7)) for line in lines)


def test_no_line_of_output_is_wider_than_a_terminal(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        done = ground.fourtuple("hold", "23", "127.0.0.1:7777", "127.0.0.1:7778", "--for", "0s")
    assert "ECONNREFUSED" in done.stdout
    proved = ground.fourtuple("prove", "theory", "one-wall")

    assert max(map(len, (done.stdout + proved.stdout).splitlines())) <= 80


def test_output_that_nobody_reads_is_no_disaster(ground: Ground) -> None:
    command = " ".join([*COMMAND, "prove", "theory", "one-wall"])
    done = ground.run("bash", "-c", f"set -o pipefail; {command} | head -1")

    assert done.stdout.startswith("fourtuple ")
    assert "Traceback" not in done.stderr


def test_version_and_lessons_are_listed() -> None:
    assert re.fullmatch(r"fourtuple \d+\.\d+\.\d+\n", fourtuple("--version").stdout)
    assert fourtuple("prove", "--list").stdout.count("\n") >= 10


def test_the_library_works_as_the_docs_show_it(ground: Ground) -> None:
    code = (
        "from fourtuple import hold\n"
        "from fourtuple.verbs.background import serving\n"
        "with serving('127.0.0.1:7777') as server:\n"
        "    record = hold(23, ['127.0.0.1:7777'], hold_s=0).finish()\n"
        "print(record.held, record.agree, server.record['accepted'])"
    )
    done = subprocess.run(ground.lab.command([sys.executable, "-c", code]), capture_output=True, text=True, check=False)

    assert done.stdout == "23 True 23\n", done.stderr
