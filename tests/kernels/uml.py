"""User-mode Linux: a kernel that is a process of this host, from Debian's package or a binary that the user names."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from fourtuple.core.errors import CannotError
from tests.kernels.available import Kernel, Way
from tests.kernels.boot import MIB, Machine, started
from tests.kernels.packages import Suite, mirrors

INSTALLED, INSTALLED_MODULES = Path("/usr/bin/linux.uml"), Path("/usr/lib/uml/modules")
PACKAGED, PACKAGED_MODULES = "usr/bin/linux.uml", "usr/lib/uml/modules"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where the guest's memory is)
MOST_BYTES, LEAST_BYTES = 3 * 1024 * MIB, 512 * MIB
ARGUMENTS = ("rootfstype=hostfs", "rootflags=/", "rw", "quiet", "con=null", "con0=fd:0,fd:1")
XSTATE = Path(__file__).with_name("xstate.c")


def prepare(kernel: Kernel, cache: Path, tell: Callable[[str], None]) -> Machine:
    """The machine of this kernel, whose package is downloaded unless it is there. Raises CannotError."""
    if kernel.way is Way.OWN:
        return _machine(kernel, Path(kernel.name), Path(kernel.name).parent / "modules", cache)
    if is_of(installed_release(), kernel.series):
        return _machine(kernel, INSTALLED, INSTALLED_MODULES, cache)
    folder = cache / kernel.folder
    if not (folder / PACKAGED).exists():
        _download(kernel, folder, cache, tell)
    return _machine(kernel, folder / PACKAGED, folder / PACKAGED_MODULES, cache)


def is_of(release: str, series: str) -> bool:
    """Does 6.1.176 belong to 6.1, or to 6.1.176?"""
    return f"{release}.".startswith(f"{series}.")


def installed_release() -> str:
    """The release of the installed package user-mode-linux; empty: there is none."""
    return release_of(INSTALLED) if INSTALLED.exists() else ""


def release_of(binary: Path) -> str:
    """The release that a binary of user-mode Linux reports. Raises CannotError if it is none."""
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotError(f"kernel {binary}", f"`--version` fails: {error}") from None
    release = done.stdout.strip()
    if done.returncode or not release[:1].isdigit():
        raise CannotError(f"kernel {binary}", f"`--version` reports no release: {(done.stderr or release).strip()!r}")
    return release


def _download(kernel: Kernel, folder: Path, cache: Path, tell: Callable[[str], None]) -> None:
    """Unpack the package, and the C library that it needs if this host's is older."""
    tell(f"downloading user-mode-linux of {kernel.suite}")
    suite = Suite(kernel.suite, cache, mirrors())
    suite.update()
    packages = suite.find("user-mode-linux")
    if not packages:
        raise CannotError(f"kernel {kernel.name}", f"{kernel.suite} has no package user-mode-linux")
    new = cache / f"{kernel.folder}.new"
    shutil.rmtree(new, ignore_errors=True)
    suite.unpack(packages[:1], new)
    binary = new / PACKAGED
    if subprocess.run([binary, "--version"], capture_output=True, check=False).returncode:
        tell(f"downloading libc6 of {kernel.suite}, which this kernel needs")
        suite.unpack(suite.find("libc6")[:1], new / "libc")
        _link(binary, folder / "libc" / LIBRARIES)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    release = release_of(folder / PACKAGED)
    if not is_of(release, kernel.series):
        shutil.rmtree(folder)
        raise CannotError(f"kernel {kernel.name}", f"{kernel.suite} now has {release}")


def _link(binary: Path, libraries: Path) -> None:
    """Have it use these libraries: it executes itself again, so a loader in front of it would be lost."""
    if not shutil.which("patchelf"):
        raise CannotError(f"kernel {binary}", "patchelf is not installed", "Install patchelf.")
    loader = libraries / "ld-linux-x86-64.so.2"
    subprocess.run(["patchelf", "--set-interpreter", loader, "--set-rpath", libraries, binary], check=True)


def _machine(kernel: Kernel, binary: Path, modules: Path, cache: Path) -> Machine:
    release = release_of(binary)
    command = [str(binary), f"mem={memory_bytes(free_bytes()) // MIB}M", *ARGUMENTS]
    environment = {"TMPDIR": str(SHARED_MEMORY)}
    if has_amx(Path("/proc/cpuinfo").read_text()):
        environment["LD_PRELOAD"] = str(preloaded(cache))

    def start(words: Sequence[str], folder: Path) -> "AbstractContextManager[subprocess.Popen[str]]":
        return started([*command, f"uml_dir={folder}/", *words], **environment)

    found = modules / release
    return Machine(release, release, found if found.is_dir() else None, start)


def free_bytes() -> int:
    """The free shared memory, which the guest's memory is made of."""
    free = os.statvfs(SHARED_MEMORY)
    return free.f_bavail * free.f_frsize


def memory_bytes(free: int) -> int:
    """How much the guest gets of the free shared memory. Raises CannotError if that is too little."""
    wanted = min(MOST_BYTES, free * 3 // 4)
    if wanted < LEAST_BYTES:
        raise CannotError("a guest", f"{SHARED_MEMORY}, its memory, has {free // MIB} MiB free, and it needs 700")
    return wanted


def has_amx(cpuinfo: str) -> bool:
    """Is the extended state of this processor larger than the buffer of user-mode Linux?"""
    return "amx_tile" in cpuinfo


def preloaded(cache: Path) -> Path:
    """The library that gives the host's kernel the whole extended state, see its source. Raises CannotError."""
    library = cache / "xstate.so"
    if not library.exists() or library.stat().st_mtime < XSTATE.stat().st_mtime:
        if not shutil.which("gcc"):
            raise CannotError("user-mode Linux on a processor with AMX", "gcc is not installed", "Install gcc.")
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, XSTATE, "-ldl"], check=True)
    return library
