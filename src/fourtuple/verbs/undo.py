"""`plan --apply`, which changes settings, and `undo`, which restores their old values.

The old values are stored before anything is written, so that they can be restored whatever happens in between.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fourtuple.core.errors import CannotError
from fourtuple.core.plan.fit import Change
from fourtuple.kernel.netns import network_cookie
from fourtuple.kernel.proc.alive import boot_id
from fourtuple.kernel.proc.sysctl import read_sysctl, write_sysctl


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A changed setting: where, old value, new value, and when (seconds since 1970)."""

    boot: str
    netns: str
    name: str
    before: str
    after: str
    at_s: int


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
    """Write the settings that this user is permitted to write.

    file: where the old values are stored; None: state_file()

    Raises CannotError if the old values cannot be stored; nothing is written then.
    """
    file = file or state_file()
    done, refused = [], []
    for change in changes:
        before = _store(file, [*_stored(file), _entry(change)])
        try:
            write_sysctl(change.name, change.after)
            done.append(change)
        except OSError as error:
            _store(file, before)
            refused.append((change, error.strerror or str(error)))
    return Applied(tuple(done), tuple(refused))


def undo(file: Path | None = None, *, forget: bool = False) -> Applied:
    """Restore the settings that `apply` changed on this host and in this network namespace, the last change first.

    forget: also drop the stored settings of other network namespaces

    A setting that has been changed again since is left unchanged. Raises CannotError if the file cannot be read.
    """
    file = file or state_file()
    left, elsewhere, done, refused = [], [], [], []
    for entry in reversed(_stored(file)):
        change = Change(entry.name, entry.after, entry.before)
        now = read_sysctl(entry.name)
        if entry.boot != boot_id():
            continue  # a reboot has reset it
        if entry.netns != network_cookie() and entry.name.startswith("net."):
            elsewhere.append(entry)
        elif now.split() != entry.after.split():
            refused.append((change, f"it has been changed to {' '.join(now.split())} since"))
        else:
            try:
                write_sysctl(entry.name, entry.before)
                done.append(change)
            except OSError as error:
                left.append(entry)
                refused.append((change, error.strerror or str(error)))
    _store(file, ([] if forget else elsewhere[::-1]) + left[::-1])
    return Applied(tuple(done), tuple(refused), 0 if forget else len(elsewhere))


def state_file() -> Path:
    """$XDG_STATE_HOME/fourtuple/undo.json (XDG Base Directory Specification)."""
    from platformdirs import user_state_path

    return user_state_path("fourtuple") / "undo.json"


def _entry(change: Change) -> Stored:
    return Stored(boot_id(), network_cookie(), change.name, change.before, change.after, int(time.time()))


def _stored(file: Path) -> list[Stored]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Stored])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        raise CannotError("cannot read the stored settings", f"{file}: {error}") from None


def _store(file: Path, entries: list[Stored]) -> list[Stored]:
    """Replace the file atomically → the entries it had before."""
    before = _stored(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=2))
        new.replace(file)
    except OSError as error:
        raise CannotError("cannot store the old settings", f"{file}: {error.strerror}", "Set XDG_STATE_HOME.") from None
    return before
