"""Settings that `plan --apply` writes, and `undo`, which brings back what was there before.

What was there is stored before anything is written, so that it can be brought back whatever happens in between.
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
    """A setting that was changed: where, from what, to what, when (seconds since 1970)."""

    boot: str
    netns: str
    name: str
    before: str
    after: str
    at_s: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """done: the settings that were written; refused: a setting that was not, and why

    elsewhere: settings of other network namespaces, which may be gone: they are left to be undone there
    """

    done: tuple[Change, ...]
    refused: tuple[tuple[Change, str], ...]
    elsewhere: int = 0


def apply(changes: Sequence[Change], file: Path | None = None) -> Outcome:
    """Write the settings that this user may write. file: where the old ones are stored; None: state_file().

    Raises CannotError where they cannot be stored; then nothing is written.
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
    return Outcome(tuple(done), tuple(refused))


def undo(file: Path | None = None, *, forget: bool = False) -> Outcome:
    """Bring back what `apply` has changed on this host and in this network namespace, the last change first.

    forget: also drop what is stored of other network namespaces

    What somebody else has set since is left as it is. Raises CannotError where what is stored cannot be read.
    """
    file = file or state_file()
    left, elsewhere, done, refused = [], [], [], []
    for entry in reversed(_stored(file)):
        change = Change(entry.name, entry.after, entry.before)
        now = read_sysctl(entry.name)
        if entry.boot != boot_id():
            continue  # gone with the boot before this one
        if entry.netns != network_cookie() and entry.name.startswith("net."):
            elsewhere.append(entry)
        elif now.split() != entry.after.split():
            refused.append((change, f"somebody has set it to {' '.join(now.split())} since"))
        else:
            try:
                write_sysctl(entry.name, entry.before)
                done.append(change)
            except OSError as error:
                left.append(entry)
                refused.append((change, error.strerror or str(error)))
    _store(file, ([] if forget else elsewhere[::-1]) + left[::-1])
    return Outcome(tuple(done), tuple(refused), 0 if forget else len(elsewhere))


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
        raise CannotError("what was changed", f"{file}: {error}") from None


def _store(file: Path, entries: list[Stored]) -> list[Stored]:
    """All of them at once, or none → what was there before."""
    before = _stored(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=2))
        new.replace(file)
    except OSError as error:
        raise CannotError("to store what is changed", f"{file}: {error.strerror}", "Set XDG_STATE_HOME.") from None
    return before
