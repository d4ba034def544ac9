"""How this kernel behaves: tried once per boot (kernel/trials.py), and remembered.

What was found is kept in the user's runtime folder, with the evidence, until the host restarts.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

from fourtuple.core.limits import releases
from fourtuple.core.limits.behaviours import FIN_WAIT2_REUSED, TRIED, TW_REUSE_IN_MS, Behaviour, KnownBy
from fourtuple.core.record import dataclass
from fourtuple.kernel.private import StateFile
from fourtuple.kernel.proc.files import PROC, whole

MOST_BYTES = 64 * 1024  # of what is remembered


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What the file has. kernel: boot and kernel that it is about"""

    kernel: str
    behaviours: list[Behaviour]


def behaviours(proc: Path = PROC) -> tuple[Behaviour, ...]:
    """What is known of this kernel's behaviour: tried, or told by its settings or its version."""
    return (*tried(), *_told(proc))


@cache
def tried() -> tuple[Behaviour, ...]:
    """What this kernel does, by trial: now, or earlier since the host started. What could not be tried is unknown."""
    kernel = _kernel()
    path = _file()
    if kernel and path and (recalled := _recalled(path, kernel)):
        return recalled
    from fourtuple.kernel.trials import try_now

    found = try_now()
    if kernel and path and all(each.holds is not None for each in found):
        with suppress(OSError), StateFile(path) as state:
            state.write(msgspec.json.encode(_Remembered(kernel, list(found))))
    return found


def _told(proc: Path) -> Iterator[Behaviour]:
    """What a setting or the version tells."""
    name = "net.ipv4.tcp_tw_reuse_delay"
    exists = (proc / "sys" / name.replace(".", "/")).exists()
    evidence = f"{name} {'exists' if exists else 'does not exist'}"
    yield Behaviour(TW_REUSE_IN_MS, exists, KnownBy.SETTING, evidence)
    release = whole(proc / "sys/kernel/osrelease").strip()
    reuses = releases.FIN_WAIT2_REUSED.holds(releases.parse_release(release))
    since = f"Linux {release}; {releases.FIN_WAIT2_REUSED.linux} ended it, and so did updates of earlier releases"
    yield Behaviour(FIN_WAIT2_REUSED, None if reuses else False, KnownBy.RELEASE, since)


def _kernel() -> str:
    """This boot of this kernel; empty: unknown."""
    boot, kernel = whole(PROC / "sys/kernel/random/boot_id").strip(), os.uname()
    return f"{boot} {kernel.release} {kernel.version}" if boot else ""


def _file() -> Path | None:
    """Where to remember: in the user's runtime folder, which is empty after a boot; None: there is none.

    Root, without one of its own, has /run (file-hierarchy(7)).
    """
    user = os.geteuid()
    folders = (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{user}", "/run" if user == 0 else None)
    return next((Path(each) / "fourtuple" / "kernel.json" for each in folders if each and _is_own(each, user)), None)


def _is_own(folder: str, user: int) -> bool:
    """Whether only this user can write to the folder."""
    try:
        found = os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022


def _recalled(path: Path, kernel: str) -> tuple[Behaviour, ...]:
    """What is remembered of this boot of this kernel; empty: nothing."""
    if not path.exists():
        return ()
    try:
        with StateFile(path) as state:
            found = msgspec.json.decode(state.read(MOST_BYTES) or b"", type=_Remembered)
    except (OSError, msgspec.DecodeError):
        return ()
    names = [each.name for each in found.behaviours]
    return tuple(found.behaviours) if found.kernel == kernel and names == list(TRIED) else ()
