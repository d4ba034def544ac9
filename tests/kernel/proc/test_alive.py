"""Is the process that left a mark still alive? Not a later one with the same PID, and not one of another boot."""

import os
import subprocess
import sys
from pathlib import Path

from fourtuple.kernel.proc.alive import living, mark
from tests.kernel.proc.small import tree

BOOT, PIDS = "9d2e1f0a-0000", "pid:[4026531836]"


def stat(pid: int, began: int, *, state: str = "S") -> str:
    """A name with brackets and spaces, as any process may give itself."""
    return f"{pid} (a ) (b) {state} 1 {' '.join(['0'] * 17)} {began} 0 0\n"


def proc(tmp_path: Path, stats: dict[str, str], boot: str = BOOT, pids: str = PIDS) -> Path:
    files = {"sys/kernel/random/boot_id": f"{boot}\n"} | {f"{pid}/stat": text for pid, text in stats.items()}
    root = tree(tmp_path, files)
    (root / "self/ns").mkdir(parents=True)
    os.symlink(pids, root / "self/ns/pid")
    return root


def is_alive(marked: str, proc: Path) -> bool | None:
    return living(proc)(marked)


def test_this_process_is_alive_until_it_ends() -> None:
    """On the real /proc: this process is alive, and a program that printed its mark and ended is not."""
    code = "from fourtuple.kernel.proc.alive import mark; print(mark())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert living()(mark()) is True
    assert living()(done.stdout.strip()) is False


def test_the_same_number_that_began_at_another_moment_is_another_process(tmp_path: Path) -> None:
    root = proc(tmp_path, {"17": stat(17, 23)})

    assert is_alive(f"{BOOT} {PIDS} 17 23", root) is True
    assert is_alive(f"{BOOT} {PIDS} 17 24", root) is False
    assert is_alive(f"{BOOT} {PIDS} 18 23", root) is False


def test_a_process_that_is_dead_and_not_yet_buried_is_not_alive(tmp_path: Path) -> None:
    assert is_alive(f"{BOOT} {PIDS} 17 23", proc(tmp_path, {"17": stat(17, 23, state="Z")})) is False


def test_nobody_is_left_of_another_boot(tmp_path: Path) -> None:
    assert is_alive(f"other-boot {PIDS} 17 23", proc(tmp_path, {"17": stat(17, 23)})) is False


def test_from_another_container_and_without_proc_it_cannot_be_told(tmp_path: Path) -> None:
    root = proc(tmp_path, {"17": stat(17, 23)}, pids="pid:[4026532000]")

    assert is_alive(f"{BOOT} {PIDS} 17 23", root) is None
    assert is_alive(f"{BOOT} {PIDS} 17 23", tmp_path / "nothing") is None
    assert is_alive("no mark", root) is None


def test_a_process_inside_a_lab_is_found_by_the_number_it_has_there(tmp_path: Path) -> None:
    """From the host, which lists it under another number, and knows that it has ended when it is not listed."""
    root = proc(tmp_path, {"1": stat(1, 1), "17": stat(17, 23)})
    (root / "17/status").write_text("Name:\ta\nNSpid:\t17\t2\n")
    (root / "17/ns").mkdir()
    os.symlink("pid:[4026532000]", root / "17/ns/pid")

    assert is_alive(f"{BOOT} pid:[4026532000] 2 23", root) is True
    assert is_alive(f"{BOOT} pid:[4026532001] 2 23", root) is False
    assert is_alive(f"{BOOT} pid:[4026532000] 3 23", root) is False
    assert is_alive(f"{BOOT} pid:[4026532000] 2 24", root) is False
    (root / "17/ns/pid").unlink()  # of another user
    assert is_alive(f"{BOOT} pid:[4026532000] 2 23", root) is True
    (root / "1/stat").unlink()  # the processes of other users are hidden (proc(5), hidepid)
    assert is_alive(f"{BOOT} pid:[4026532000] 2 24", root) is None
