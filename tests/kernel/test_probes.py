"""What the kernel does is tried with real sockets, once per boot; what was found is remembered, and nothing else is."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.limits.behaviours import (
    BIND_RELEASED,
    BOUND_LISTED,
    FIN_WAIT2_REUSED,
    RANGE_CAN_BE_SET,
    RULE_OF,
    TRIED,
    TW_REUSE_IN_MS,
    KnownBy,
)
from fourtuple.kernel import trials
from fourtuple.verbs.lab import Lab
from tests.conftest import need_namespace
from tests.waiting import COMMAND_S

SCRIPT = """
import msgspec, sys
from fourtuple.kernel import probes
sys.stdout.buffer.write(msgspec.json.encode(probes.behaviours()))
"""
OTHERS = """
import json
from tests.labs import features as f
f.learn()
trials = f.range_can_be_set, f.range_in_turn, f.bind_is_released, f.bound_are_listed, f.time_wait_is_in_ms
print(json.dumps([each() for each in trials]))
"""
Found = dict[str, dict[str, Any]]


def found(runtime: Path, prefix: Sequence[str] = ()) -> Found:
    """What a new process knows, by name. runtime: the user's runtime folder"""
    command = [*prefix, sys.executable, "-c", SCRIPT]
    environment = os.environ | {"XDG_RUNTIME_DIR": str(runtime)}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=COMMAND_S, check=True)
    assert done.stderr == b""
    return {each["name"]: each for each in json.loads(done.stdout)}


def answers(known: Found) -> dict[str, bool | None]:
    return {name: each["holds"] for name, each in known.items()}


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    return folder


def remembered(runtime: Path) -> Path:
    return runtime / "fourtuple" / "kernel.json"


def test_every_behaviour_is_known_by_trial_setting_or_release(runtime: Path) -> None:
    """And comes with what was observed."""
    known = found(runtime)

    assert tuple(known) == (*TRIED, TW_REUSE_IN_MS, FIN_WAIT2_REUSED) == tuple(RULE_OF)
    assert {known[name]["by"] for name in TRIED} == {KnownBy.PROBE}
    assert (known[TW_REUSE_IN_MS]["by"], known[FIN_WAIT2_REUSED]["by"]) == (KnownBy.SETTING, KnownBy.RELEASE)
    assert all(each["evidence"] for each in known.values())
    assert known[TW_REUSE_IN_MS]["holds"] is Path("/proc/sys/net/ipv4/tcp_tw_reuse_delay").exists()


def test_the_answers_are_those_of_other_trials(runtime: Path) -> None:
    """The tests try the same with code of their own (tests/labs/features.py), in a namespace of their own."""
    need_namespace()
    with Lab() as lab:
        done = lab.start([sys.executable, "-c", OTHERS], stdout=subprocess.PIPE, text=True)
        out, _ = done.communicate(timeout=COMMAND_S)

    assert [each for name, each in answers(found(runtime)).items() if name != FIN_WAIT2_REUSED] == json.loads(out)


def test_a_private_namespace_and_loopback_tell_the_same() -> None:
    """A container may have no namespace of its own. What cannot be tried there is unknown, not guessed."""
    here = {each.name: each.holds for each in trials.try_now()}
    deny = [sys.executable, "tests/deny.py", "unshare"]
    script = (
        "import msgspec; from fourtuple.kernel import trials; print(msgspec.json.encode(trials.try_now()).decode())"
    )
    done = subprocess.run(
        [*deny, sys.executable, "-c", script], capture_output=True, text=True, timeout=COMMAND_S, check=True
    )
    there = {each["name"]: each for each in json.loads(done.stdout)}

    assert all("on loopback" in each["evidence"] for each in there.values() if each["holds"] is not None)
    assert here[RANGE_CAN_BE_SET] is there[RANGE_CAN_BE_SET]["holds"]
    differ = {name for name, holds in here.items() if there[name]["holds"] is not holds}
    assert differ <= (set() if here[RANGE_CAN_BE_SET] else {BIND_RELEASED})


def test_without_netlink_the_listing_is_unknown(runtime: Path) -> None:
    """… which is not remembered: another process may be permitted to ask."""
    known = found(runtime, [sys.executable, "tests/deny.py", "netlink"])

    assert known[BOUND_LISTED]["holds"] is None
    assert "EAFNOSUPPORT" in known[BOUND_LISTED]["evidence"]
    assert not remembered(runtime).exists()


def test_what_was_found_is_not_tried_again(runtime: Path) -> None:
    first = found(runtime)
    if any(first[name]["holds"] is None for name in TRIED):
        pytest.skip("a behaviour of this kernel cannot be tried here")
    text = remembered(runtime).read_text()
    remembered(runtime).write_text(text.replace("sock_diag ", "SOCK_DIAG ", 1))

    assert found(runtime)[BOUND_LISTED]["evidence"] == first[BOUND_LISTED]["evidence"].replace("sock_diag", "SOCK_DIAG")
    assert remembered(runtime).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", '{"kernel": "x", "behaviours": []}', "[" * 100_000, '"\\ud800"', "null"])
def test_a_file_that_tells_something_else_is_replaced(content: str, runtime: Path) -> None:
    """Of another boot, of another kernel, damaged, or far too long."""
    known = found(runtime)
    remembered(runtime).write_text(content)

    assert answers(found(runtime)) == answers(known)
    assert json.loads(remembered(runtime).read_text())["behaviours"]


def test_of_another_kernel_nothing_is_taken(runtime: Path) -> None:
    known = found(runtime)
    stored = json.loads(remembered(runtime).read_text())
    for each in stored["behaviours"]:
        each["holds"], each["evidence"] = not each["holds"], "wrong"
    remembered(runtime).write_text(json.dumps(stored | {"kernel": "another boot"}))

    assert answers(found(runtime)) == answers(known)


def test_a_link_in_its_place_is_not_followed(runtime: Path, tmp_path: Path) -> None:
    """Whoever could write there could choose what is believed of the kernel."""
    known = found(runtime)
    stored = json.loads(remembered(runtime).read_text())
    for each in stored["behaviours"]:
        each["holds"], each["evidence"] = not each["holds"], "wrong"
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(stored))
    remembered(runtime).unlink()
    remembered(runtime).symlink_to(elsewhere)

    assert answers(found(runtime)) == answers(known)


def test_a_folder_that_others_may_write_to_is_not_used(runtime: Path) -> None:
    runtime.chmod(0o777)
    found(runtime)

    assert not list(runtime.iterdir())


def test_a_trial_leaves_no_socket() -> None:
    """Its connections are reset, its listeners closed, whatever it found."""
    own = Path("/proc/self/fd")
    before = sorted(os.listdir(own))

    trials.try_now()

    assert sorted(os.listdir(own)) == before
