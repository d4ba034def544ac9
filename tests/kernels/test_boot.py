"""A guest of user-mode Linux, and the library for processors whose state is larger than its buffer."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need
from tests.kernels.available import Kernel, Way
from tests.kernels.boot import Machine, run
from tests.kernels.programs import PLACES
from tests.kernels.uml import installed_release, preloaded, prepare
from tests.waiting import COMMAND_S

PTRACE_TRACEME, PTRACE_GETREGSET, PTRACE_SETREGSET, NT_X86_XSTATE = 0, 0x4204, 0x4205, 0x202
BUFFER_BYTES = 576  # x87, SSE and the header: less than a state with AVX, as 2,696 bytes are less than one with AMX
# Its own child's state is read into the buffer and written back, twice; it says how many bytes, and each errno.
REGISTERS = f"""
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
child = os.fork()
if not child:
    libc.ptrace({PTRACE_TRACEME}, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(7)
os.waitpid(child, 0)
buffer = ctypes.create_string_buffer({BUFFER_BYTES})
for request in ({PTRACE_GETREGSET}, {PTRACE_SETREGSET}, {PTRACE_GETREGSET}):
    vector = Vector(ctypes.addressof(buffer), {BUFFER_BYTES})
    failed = libc.ptrace(request, child, {NT_X86_XSTATE}, ctypes.addressof(vector))
    print(vector.length, ctypes.get_errno() if failed else 0, hash(buffer.raw))
libc.ptrace(17, child, None, None)  # PTRACE_DETACH
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """User-mode Linux of the package that is installed: a test downloads nothing."""
    release = installed_release()
    need(release, "user-mode-linux")
    need(all(shutil.which(program, path=PLACES) for program in ("modprobe", "ip")), "modprobe (kmod) and ip (iproute2)")
    return prepare(Kernel("installed", Way.UML, release), tmp_path, print)


def test_a_command_runs_in_another_kernel(machine: Machine, tmp_path: Path) -> None:
    """As root, in the project's folder, with the product; it can write to nothing of the host but the exchange."""
    command = (
        f"uname -r; id -u; touch here; {sys.executable} -m fourtuple --version; echo x > /mnt/exchange/made; exit 3"
    )
    said: list[str] = []
    ending = run(machine, command, COMMAND_S, tmp_path, said.append)

    assert (ending.code, ending.why) == (3, ""), said
    assert said[:2] == [machine.release, "0"]
    assert "Read-only" in said[2]
    assert said[3].startswith("fourtuple ")
    assert (tmp_path / "made").read_text() == "x\n"


def test_a_guest_ends_when_its_time_is_over(machine: Machine, tmp_path: Path) -> None:
    """With every process that it is made of, though its command would go on for ever."""
    ending = run(machine, "sleep 1000000", 3, tmp_path)

    assert ending.code is None
    assert ending.why == "its time limit of 3 s is over"
    assert not running_with(str(tmp_path))


def running_with(word: str) -> list[str]:
    """The processes of this host whose command line has this word."""
    lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if word in line and int(line.split()[0]) != os.getpid()]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the state is of x86-64")
def test_the_whole_state_is_written_from_a_smaller_buffer(tmp_path: Path) -> None:
    """Without the library, EFAULT, which makes user-mode Linux panic; with it, what was read is what was written."""
    need(shutil.which("gcc"), "gcc")

    def registers(**environment: str) -> list[list[int]]:
        command = [sys.executable, "-c", REGISTERS]
        said = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": "0"} | environment
        )
        return [[int(word) for word in line.split()] for line in said.stdout.splitlines()]

    plain, loaded = registers(), registers(LD_PRELOAD=str(preloaded(tmp_path)))
    assert [line[:2] for line in plain[:3]] == [[BUFFER_BYTES, 0], [BUFFER_BYTES, 14], [BUFFER_BYTES, 0]]
    assert [line[:2] for line in loaded[:3]] == [[BUFFER_BYTES, 0]] * 3
    assert loaded[0] == loaded[2]
    assert loaded[3] == plain[3] == [7]


def test_the_library_changes_nothing_where_the_buffer_is_large_enough(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest boots with it as without."""
    need(shutil.which("gcc"), "gcc")
    monkeypatch.setenv("LD_PRELOAD", str(preloaded(tmp_path)))
    said: list[str] = []

    assert run(machine, "echo 6 x 7 = $((6 * 7))", COMMAND_S, tmp_path, said.append).code == 0
    assert said == ["6 x 7 = 42"]
