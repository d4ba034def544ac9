"""`plan --apply`, which changes settings, and `undo`, which restores their old values.

The old values are stored before anything is written, so that they can be restored whatever happens in between. All of
it happens under the lock of the file: what another process applies or restores meanwhile is not lost.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.plan.fit import Change
from fourtuple.core.plan.settings import RANGE, RESERVED, Setting, encode_settings, parse_settings, takes
from fourtuple.core.record import dataclass
from fourtuple.kernel.netns import network_cookie
from fourtuple.kernel.private import StateFile
from fourtuple.kernel.proc.alive import boot_id
from fourtuple.kernel.proc.sysctl import read_sysctl, write_sysctl

MOST_BYTES = 2**20  # of the file: some 5,000 settings


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of `apply` or `undo`.

    done:      the settings that were written
    refused:   the settings that were not, each with the reason
    elsewhere: number of stored settings of other network namespaces, which may be gone; undo them there
    """

    done: tuple[Change, ...]
    refused: tuple[tuple[Change, str], ...]
    elsewhere: int = 0


def apply(changes: Sequence[Change], file: Path | None = None) -> Applied:
    """Write the settings that this user is permitted to write, except those that have the value already.

    file: where the old values are stored; None: state_file()

    Raises UsageError for a setting or a value that is not one of `plan`; CannotError if the old values cannot be
    stored. Nothing is written then.
    """
    for change in changes:
        if not takes(change.name, change.after):
            raise UsageError(f"cannot set {change.name} = {change.after}", "it is not a setting of plan")
    if not changes:
        return Applied((), ())
    done: list[Change] = []
    refused: list[tuple[Change, str]] = []
    with _state(file or state_file()) as state:
        stored = _read(state)
        for asked in changes:
            change = replace(asked, before=_value(asked.name))  # what it is now, under the lock
            if change.before == change.after:
                continue
            if change.name == RANGE and any(other.name == RESERVED for other, _ in refused):
                refused.append((change, "the ports of services could not be reserved"))
                continue
            if not takes(change.name, change.before):
                refused.append((change, "its present value cannot be read"))
                continue
            entry = Setting(boot_id(), network_cookie(), change.name, change.before, change.after, int(time.time()))
            state.write(encode_settings([*stored, entry]))
            try:
                write_sysctl(change.name, change.after)
            except OSError as error:
                state.write(encode_settings(stored))
                refused.append((change, os.strerror(error.errno or 0)))
            else:
                stored.append(entry)
                done.append(change)
    return Applied(tuple(done), tuple(refused))


def undo(file: Path | None = None, *, forget: bool = False) -> Applied:
    """Restore the settings that `apply` changed on this host and in this network namespace, the last change first.

    forget: also drop the stored settings of other network namespaces

    A setting that has been changed again since is left unchanged. Raises CannotError if the file cannot be read.
    """
    file = file or state_file()
    kept: list[Setting] = []
    done, refused, elsewhere = [], [], 0
    if _is_missing(file):
        return Applied((), ())
    with _state(file) as state:
        for entry in reversed(_read(state)):
            change, now = Change(entry.name, entry.after, entry.before), _value(entry.name)
            if entry.boot != boot_id():
                continue  # a reboot has reset it
            if entry.netns != network_cookie() and entry.name.startswith("net."):
                elsewhere += not forget
                kept += [] if forget else [entry]
            elif not takes(entry.name, now):
                kept.append(entry)
                refused.append((change, "its present value cannot be read"))
            elif now == entry.after:
                try:
                    write_sysctl(entry.name, entry.before)
                    done.append(change)
                except OSError as error:
                    kept.append(entry)
                    refused.append((change, os.strerror(error.errno or 0)))
            elif now != entry.before:  # equal: `apply` was killed before it set it, or `undo` after it restored it
                refused.append((change, f"it has been changed to {now} since"))
        state.write(encode_settings(kept[::-1]))
    return Applied(tuple(done), tuple(refused), elsewhere)


def state_file() -> Path:
    """$XDG_STATE_HOME/fourtuple/undo.json (XDG Base Directory Specification)."""
    from platformdirs import user_state_path

    return user_state_path("fourtuple") / "undo.json"


def _is_missing(file: Path) -> bool:
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # opening it will say so
        pass
    return False


def _value(name: str) -> str:
    """The value of a sysctl, its parts separated by single spaces; empty if it cannot be read."""
    return " ".join(read_sysctl(name).split())


@contextmanager
def _state(file: Path) -> Iterator[StateFile]:
    """The state, which this process has for itself inside the block. Raises CannotError."""
    try:
        with StateFile(file) as state:
            yield state
    except OSError as error:
        do = "Set XDG_STATE_HOME to a folder of your own."
        raise CannotError("cannot use the stored settings", f"{file}: {error.strerror or error}", do) from None


def _read(state: StateFile) -> list[Setting]:
    """The settings in the file; empty if there is none. Raises OSError, CannotError if it has anything else."""
    content = state.read(MOST_BYTES)
    try:
        return [] if content is None else parse_settings(content)
    except ValueError as error:
        raise CannotError("cannot read the stored settings", f"{state.path}: {error}") from None
