"""Bad input: one or two lines that say what and where, the right exit code, no traceback, nothing left behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Ground, fourtuple
from tests.waiting import PATIENCE_S, has_gone_on, wait_until

USAGE, SHORT = 2, 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["hold", "0", "127.0.0.1:8000"], USAGE, "from 1 to"),
        (["hold", "100000000000000000000000", "127.0.0.1:8000", "--workers", "1"], USAGE, "from 1 to"),
        (["hold", "10", "::1:8000"], USAGE, "Write [::1]:8000."),
        (["hold", "10", "127.0.0.1:80", "--from", "127.0.0.0/8", "127.0.0.1:1-9999"], USAGE, "pairs of a source"),
        (["hold", "10", "[::1]:80", "--from", "fe80::1"], USAGE, "this host does not have it"),
        (["hold", "10", "[::1]:80", "--from", "fd00::/64"], USAGE, "pairs of a source"),
        (["hold", "--", "-5", "127.0.0.1:8000"], USAGE, "a count: '-5'"),
        (["hold", "many", "127.0.0.1:8000"], USAGE, "a count: 'many'"),
        (["hold", "10"], USAGE, "N and a destination are needed, or --plan"),
        (["hold"], USAGE, "N and a destination are needed, or --plan"),
        (["hold", "10", "--plan", "x"], USAGE, "the file says how many"),
        (["hold", "--plan", "/no/such/file"], USAGE, "No such file"),
        (["hold", "--plan", "/dev/null"], USAGE, "it is not one"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "bind0"], USAGE, "is not one of"),
        (["limits", "127.0.0.1"], USAGE, "it has no port"),
        (["limits", "--from", "127.0.0.2"], USAGE, "no destination was given"),
        (["limits", "--pid", "99999999"], USAGE, "there is no such process"),
        (["limits", "--netns", "no-such-name"], USAGE, "nor a name of ip netns"),
        (["limits", "--role", "both"], USAGE, "is not one of"),
        (["limits", "127.0.0.1:80", "--from", "10.99.99.99"], USAGE, "this host does not have it"),
        (["plan", "0", "127.0.0.1:80"], USAGE, "from 1 to"),
        (["plan", "10"], USAGE, "Missing argument"),
        (["plan", "10", "127.0.0.1:80", "--nat", "other"], USAGE, "is not one of"),
        (["plan", "10", "127.0.0.1:80", "--write", "/no/such/folder/x"], USAGE, "No such file"),
        (["hold", "10", "127.0.0.1"], USAGE, "it has no port"),
        (["hold", "10", "127.0.0.1:70000"], USAGE, "outside 1 to 65535"),
        (["hold", "10", "127.0.0.1:0"], USAGE, "outside 1 to 65535"),
        (["hold", "10", "127.0.0.1:9-8"], USAGE, "9 comes after 8"),
        (["hold", "10", "no.such.host.invalid:80"], USAGE, "neither an address nor a known name"),
        (["hold", "10", "[::1]:80", "127.0.0.1:80"], USAGE, "mix IPv4 and IPv6"),
        (["hold", "10", "127.0.0.1:80", "--from", "10.99.99.99"], USAGE, "this host does not have it"),
        (["hold", "10", "127.0.0.1:80", "--from", "nonsense"], USAGE, "neither IPv4 nor IPv6"),
        (["hold", "10", "127.0.0.1:80", "--from", "::1"], USAGE, "mix IPv4 and IPv6"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "lucky"], USAGE, "is not one of"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "plain", "--from", "127.0.0.1"], USAGE, "plain never binds"),
        (["hold", "10", "127.0.0.1:80", "--strategy", "late", "--from", "127.0.0.1:99"], USAGE, "kernel chooses"),
        (["hold", "10", "127.0.0.1:80", "--rate", "0"], USAGE, "more than 0"),
        (["hold", "10", "127.0.0.1:80", "--for", "10"], USAGE, "500ms, 3s, 2m"),
        (["hold", "1001", "8.8.8.8:80"], USAGE, "--i-own-this-target"),
        (["hold", "10", "8000"], USAGE, "Write 127.0.0.1:8000."),
        (["hold", "10", "127.0.0.1:80", "--timeout", "0s"], USAGE, "1 ms or more"),
        (["hold", "10", "127.0.0.1:80", "--watch", "off", "--reconnect"], USAGE, "not noticed"),
        (["hold", "10", "127.0.0.1:80", "--watch", "census", "--send", "x"], USAGE, "seen by polling only"),
        (["hold", "10", "127.0.0.1:80", "--expect", "x", "--watch", "off"], USAGE, "seen by polling only"),
        (["hold", "10", "127.0.0.1:80", "--send", "@/no/such/file"], USAGE, "No such file"),
        (["hold", "10", "127.0.0.1:80", "--send", "1GiB"], USAGE, "at most 16 MiB"),
        (["hold", "10", "127.0.0.1:80", "--send", ""], USAGE, "it is empty"),
        (["hold", "10", "127.0.0.1:80", "--send", "@/dev/null"], USAGE, "it is empty"),
        (["hold", "10", "127.0.0.1:80", "--send", "@/dev/zero"], USAGE, "at most 16 MiB"),
        (["hold", "10", "127.0.0.1:80", "--every", "5s"], USAGE, "nothing is sent"),
        (["lab", "--", ""], USAGE, "its name is empty"),
        (["serve", "127.0.0.1:8000", "--echo", "--watch", "census"], USAGE, "seen by polling only"),
        (["serve"], USAGE, "Missing argument"),
        (["prove", "theory", "--connections", "100k"], USAGE, "only past-65536"),
        (["serve", "127.0.0.1"], USAGE, "it has no port"),
        (["serve", "10.99.99.99:8000"], USAGE, "this host does not have the address"),
        (["prove", "nonsense"], USAGE, "There are: theory"),
        (["nonsense"], USAGE, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_told_what_is_wrong(arguments: list[str], code: int, says: str) -> None:
    done = fourtuple(*arguments)

    assert done.returncode == code
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_destination_where_nobody_listens(ground: Ground) -> None:
    """It falls short, and says who refuses and what to do."""
    done = ground.fourtuple("hold", "1000", "127.0.0.1:7777", "--for", "0s")

    assert done.returncode == SHORT
    assert done.stdout.startswith("held none of 1,000")
    assert "1,000 failed with ECONNREFUSED: nobody listens there" in done.stdout
    assert "Start the server first" in done.stdout
    assert "Traceback" not in done.stderr


def test_most_of_the_blame_goes_to_what_ended_most_ways(ground: Ground) -> None:
    """One server of four is there, and full: the rest has failed because three are missing, and that comes first."""
    ground.set_port_range(40_000, 40_099)
    with ground.serving("127.0.0.1:8000"):
        lines = ground.fourtuple("hold", "300", "127.0.0.1:8000-8003", "--for", "0s").stdout.splitlines()

    assert lines[0].startswith("held 100 of 300")
    assert next(line for line in lines if "failed with" in line).startswith("  200 failed with ECONNREFUSED")


def test_a_second_ctrl_c_drops_everything_at_once(ground: Ground) -> None:
    """Also where the workers hang: nothing is waited for, and the exit code is a shell's for SIGINT."""
    slowly = ["hold", "1000", "127.0.0.1:7777", "--workers", "2", "--rate", "100/s", "--log", "--json"]
    with ground.serving("127.0.0.1:7777"), ground.started(*slowly, wait_for="connected") as holding:
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
    assert "no way there: Network is unreachable (ENETUNREACH)" in done.stderr


def test_more_than_memory_allows_is_refused_before_it_hurts(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        done = ground.fourtuple("hold", "500M", "127.0.0.1:7777", "--workers", "1")

    assert done.returncode == SHORT
    assert "memory: they take 3.64 TiB" in " ".join(done.stderr.split())


def test_an_address_that_is_taken(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        done = ground.fourtuple("serve", "127.0.0.1:7776-7778")

    assert done.returncode == SHORT
    assert "to listen on 127.0.0.1:7777" in done.stderr
    assert "(EADDRINUSE 98)" in done.stderr


def test_more_listeners_than_files(ground: Ground) -> None:
    done = ground.run("sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND, "serve", "127.0.0.1:8000-8099")

    assert done.returncode == SHORT
    assert "100 listeners" in done.stderr
    assert "RLIMIT_NOFILE 64" in done.stderr


def test_an_error_names_wanted_stopped_by_and_do() -> None:
    assert fourtuple("hold", "10", "127.0.0.1:80", "--from", "10.99.99.99").stderr.splitlines() == [
        "fourtuple: the source address 10.99.99.99",
        "  stopped by  this host does not have it (bind: EADDRNOTAVAIL 99)",
        "  do          Use one that `ip address` shows, any of 127.0.0.0/8 towards",
        "              loopback, or add it.",
    ]


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
        "from fourtuple import hold; from fourtuple.verbs import finish, serving\n"
        "with serving('127.0.0.1:7777') as server:\n"
        "    record = finish(hold(23, ['127.0.0.1:7777'], hold_s=0))\n"
        "print(record.held, record.agree, server.record['accepted'])"
    )
    done = subprocess.run(ground.lab.command([sys.executable, "-c", code]), capture_output=True, text=True, check=False)

    assert done.stdout == "23 True 23\n", done.stderr
