"""The stored settings of `plan --apply`: whose they are, what they may say, and what several at once leave of them."""

import json
import os
import sys
from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.plan.fit import Change
from fourtuple.kernel.netns import network_cookie
from fourtuple.kernel.private import StateFile
from fourtuple.kernel.proc.alive import boot_id
from fourtuple.verbs.undo import MOST_BYTES, apply, undo
from tests.conftest import Ground, need

RANGE = "net.ipv4.ip_local_port_range"
ENTRY = {
    "boot": boot_id(),
    "netns": "0",
    "name": RANGE,
    "before": "40000 40099",
    "after": "1024 65535",
    "at_s": 1,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of the stored settings, in a folder that is there."""
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state" / "undo.json"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "/etc/passwd"},
        {"name": "../../etc/passwd"},
        {"name": "kernel.core_pattern", "before": "|/tmp/x", "after": "core"},
        {"name": "net.ipv4.ip_local_port_range/../../../kernel/core_pattern"},
        {"before": "x"},
        {"before": "1024 65535\n"},
        {"before": "65535 1024"},
        {"before": "1024"},
        {"before": "0 65536"},
        {"name": "fs.file-max", "before": "1 2", "after": "1"},
        {"name": "fs.file-max", "before": "٣", "after": "1"},
        {"name": "fs.file-max", "before": "-1", "after": "1"},
        {"name": "net.ipv4.ip_local_reserved_ports", "before": "1-", "after": ""},
        {"name": "net.ipv4.ip_local_reserved_ports", "before": "9-8", "after": ""},
    ],
)
def test_only_settings_of_plan_with_values_that_they_take_are_restored(file: Path, change: dict[str, str]) -> None:
    """Any other name or value makes the file unusable, and nothing is written; `apply` refuses it, too."""
    text = json.dumps([ENTRY | change])
    file.write_text(text)
    entry = ENTRY | change

    with pytest.raises(CannotError, match=r"undo\.json"):
        undo(file)
    with pytest.raises(UsageError, match="not a setting"):
        apply([Change(str(entry["name"]), str(entry["after"]), str(entry["before"]))], file)
    assert file.read_text() == text


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        json.dumps([ENTRY | {"before": "\xff"}], ensure_ascii=False).encode("latin-1"),
        b"",
        b"null",
        b"7",
        b'"text"',
        b"[7]",
        b"[null]",
        b"{}",
        json.dumps([ENTRY | {"at_s": "soon"}]).encode(),
        json.dumps([ENTRY | {"more": 1}]).encode(),
        b"[" * 100_000,
        b'[{"boot":' * 10_000,
        b"[" + b" " * MOST_BYTES + b"]",
        b"\0" * 100,
    ],
    ids=range(15),
)
def test_a_hostile_file_is_a_sentence_and_stays_as_it_is(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    with pytest.raises(CannotError, match=r"undo\.json"):
        undo(file)
    with pytest.raises(CannotError, match=r"undo\.json"):
        apply([Change(RANGE, "40000 40099", "1 2")], file)
    assert file.read_bytes() == content


@pytest.mark.parametrize("what", ["undo.json", "undo.json.lock", "state"])
def test_no_link_is_followed(file: Path, tmp_path: Path, what: str) -> None:
    """Neither of the file, nor of its lock, nor of their folder."""
    target = tmp_path / "target"
    file.write_text("[]")
    place = file.parent if what == "state" else file.with_name(what)
    if place.exists():
        place.rename(target)
    else:
        target.write_text("")
    place.symlink_to(target)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(CannotError):
        undo(file)
    with pytest.raises(CannotError):
        apply([Change(RANGE, "40000 40099", "1 2")], file)
    assert sorted(tmp_path.rglob("*")) in (before, sorted([*before, file.parent / "undo.json.lock"]))


def test_a_pipe_in_place_of_the_file_does_not_block(file: Path) -> None:
    os.mkfifo(file)

    with pytest.raises(CannotError, match="not a regular file"):
        undo(file)


@pytest.mark.parametrize("whose", ["undo.json", "state"])
def test_what_belongs_to_another_user_is_not_used(file: Path, whose: str) -> None:
    """Not by root, either: its owner could choose what root is to set."""
    need(os.geteuid() == 0, "root, to give a file to another user")
    file.write_text(json.dumps([ENTRY]))
    os.chown(file.parent if whose == "state" else file, 65534, 65534)

    with pytest.raises(CannotError, match="belongs to user 65534"):
        undo(file)


def test_state_is_private(tmp_path: Path) -> None:
    """Folder 0700, files 0600, whatever the umask and whatever they were; nothing else is left there."""
    file = tmp_path / "a" / "undo.json"
    old = os.umask(0)
    try:
        for _ in range(2):
            with StateFile(file) as state:
                state.write(b"[]")
            modes = {each.name: each.stat().st_mode & 0o777 for each in (file.parent, *file.parent.iterdir())}
            file.parent.chmod(0o777)
            file.chmod(0o666)
    finally:
        os.umask(old)

    assert modes == {"a": 0o700, "undo.json": 0o600, "undo.json.lock": 0o600}


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from fourtuple.core.plan.fit import Change
from fourtuple.verbs.undo import apply, undo
RANGE = "net.ipv4.ip_local_port_range"
setting, file = Path("/proc/sys/net/ipv4/ip_local_port_range"), Path(sys.argv[1])
setting.write_text("40000 40099")
for _ in range(40):
    child = os.fork()
    if not child:
        while True:
            apply([Change(RANGE, "", "1024 65535")], file)
            undo(file)
    time.sleep(random.random() / 100)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    undone = undo(file)
    assert not undone.refused, undone
    assert setting.read_text().split() == ["40000", "40099"], undone
print(sorted(os.listdir(file.parent)))
"""


def test_a_kill_at_any_moment_loses_nothing(ground: Ground, tmp_path: Path) -> None:
    """The first value is back after one undo, and no part of a file is left."""
    file = tmp_path / "state" / "undo.json"
    with StateFile(file) as state:
        state.write(b"[]")
        (file.parent / ".undo.json.0123").write_bytes(b"left by a process that was killed")
    done = ground.run(sys.executable, "-c", KILLED, str(file))

    assert (done.returncode, done.stdout) == (0, "['undo.json', 'undo.json.lock']\n"), done.stderr


def test_a_setting_that_was_stored_and_not_yet_set_is_nothing_to_undo(file: Path) -> None:
    """A process may be killed after it stored a setting and before it set it, or after it restored it."""
    now = " ".join(Path("/proc/sys", RANGE.replace(".", "/")).read_text().split())
    entry = ENTRY | {"netns": network_cookie(), "before": now, "after": "1024 65535" if now != "1024 65535" else "1 2"}
    file.write_text(json.dumps([entry]))
    undone = undo(file)

    assert (undone.done, undone.refused) == ((), ())
    assert json.loads(file.read_text()) == []


def test_what_is_set_already_is_not_stored_again(file: Path) -> None:
    """What another process has just applied is that one's to undo, and only once."""
    now = " ".join(Path("/proc/sys", RANGE.replace(".", "/")).read_text().split())
    applied = apply([Change(RANGE, "40000 40099", now)], file)

    assert (applied.done, applied.refused) == ((), ())
    assert not file.exists()


RESTORED = """
import sys
from pathlib import Path
from fourtuple.core.plan.fit import Change
from fourtuple.verbs.undo import apply, undo
setting, file = Path("/proc/sys/net/ipv4/ip_local_reserved_ports"), Path(sys.argv[1])
for before in ("", "7000", "7000-7009,9000"):
    setting.write_text(f"{before}\\n")
    assert apply([Change("net.ipv4.ip_local_reserved_ports", "", "30000-32767")], file).done
    assert setting.read_text() == "30000-32767\\n"
    print(undo(file).done[0].after, setting.read_text(), end="")
"""


def test_an_empty_list_of_ports_is_a_value_too(ground: Ground, tmp_path: Path) -> None:
    done = ground.run(sys.executable, "-c", RESTORED, str(tmp_path / "state" / "undo.json"))

    assert done.stdout.splitlines() == [" ", "7000 7000", "7000-7009,9000 7000-7009,9000"], done.stderr


CROWD = """
import os, sys
from pathlib import Path
from fourtuple.core.plan.fit import Change
from fourtuple.verbs.undo import apply, undo
RANGE = "net.ipv4.ip_local_port_range"
setting, file = Path("/proc/sys/net/ipv4/ip_local_port_range"), Path(sys.argv[1])
for _ in range(25):
    setting.write_text("40000 40099")
    gate_in, gate_out = os.pipe()
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            os.close(gate_out)
            os.read(gate_in, 1)  # returns in all of them at once, when the other end is closed
            wide = Change(RANGE, "40000 40099", "1024 65535" if number % 2 else f"{2000 + number} 65535")
            apply([wide], file)
            os._exit(0)
        children.append(child)
    os.close(gate_in)
    os.close(gate_out)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0, "a process failed"
    undone = undo(file)
    assert not undone.refused, undone
    assert setting.read_text().split() == ["40000", "40099"], (setting.read_text(), undone)
print("all restored")
"""


def test_four_at_once_lose_nothing(ground: Ground, tmp_path: Path) -> None:
    """In every order in which they come: the first value is back after one undo."""
    done = ground.run(sys.executable, "-c", CROWD, str(tmp_path / "state" / "undo.json"))

    assert (done.returncode, done.stdout) == (0, "all restored\n"), done.stderr
