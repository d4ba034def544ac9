"""Which host a command asks: this one, or one that a snapshot or pasted output tells of, wherever this runs."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.snapshot.host import Host
from fourtuple.core.space.endpoints import EndpointSpec, parse_addresses
from fourtuple.core.units import format_size, quoted
from fourtuple.store.input import read_file
from fourtuple.verbs.entering import go_into

if TYPE_CHECKING:
    from fourtuple.core.snapshot.records import Snapshot

MOST_BYTES = 2**30  # of a file with a snapshot, or with many
MOST_PASTED_BYTES = 2**26
STDIN = "-"
LOG = "dmesg"
PASTE = "Write a snapshot (fourtuple snapshot FILE), or paste what ss, netstat or sysctl prints."
ENDINGS = (".snapshot", ".zst", ".json", ".txt", ".log")


def here(outside: Mapping[str, str] | None = None) -> Host:
    """This host, now. outside: as in kernel.host.LiveHost

    Only here is imported what asks the kernel, so that a snapshot can be asked where there is none.
    """
    from fourtuple.kernel.host import LiveHost

    return LiveHost(outside or {})


def host_of(file: str | None, at: str | None = None, *, pid: int | None = None, netns: str | None = None) -> Host:
    """The host to be asked, as a process in one of its network namespaces.

    file:  a snapshot, a recording or pasted output; - is standard input; None: this host, now
    at:    the moment of a recording; None: its last
    netns: NAME, PID or `net:[…]`
    pid:   a process, in whose namespace it is asked; both None: here the own namespace, else that of the first process

    This process enters the namespace permanently. Raises UsageError, CannotError.
    """
    if file is not None:
        from fourtuple.core.snapshot.answers import Recorded

        return Recorded(read_snapshot(file, at), pid=pid, netns=netns)
    if at is not None:
        raise UsageError("--at", "it chooses a moment of a recording", "Add --from FILE.")
    return here(go_into(pid, netns))


def read_snapshot(file: str, at: str | None = None) -> "Snapshot":
    """The snapshot in a file, of a moment of a recording, or made of pasted output. Raises UsageError, CannotError."""
    from fourtuple.core.snapshot.coding import MAGIC, decode
    from fourtuple.core.snapshot.frames import at_or_before, frames_of

    what = "standard input" if file == STDIN else f"the snapshot {quoted(file)}"
    content = _standard_input() if file == STDIN else read_file(file, MOST_BYTES, what)
    source = "standard input" if file == STDIN else file
    if frames := frames_of(content):
        frame = at_or_before(frames, at)
        content = content[frame.start : frame.stop]
    elif at is not None:
        raise UsageError("--at", f"{what} has one moment only: it is no recording", "Leave it out.")
    if not content.startswith((MAGIC, b"{")):
        return _pasted(what, content)
    try:
        return decode(content, source)
    except ValueError as error:
        raise (CannotError if "version" in str(error) else UsageError)(what, str(error)) from None


def _pasted(what: str, content: bytes) -> "Snapshot":
    """Raises UsageError."""
    from fourtuple.core.snapshot.pastes.paste import paste

    if len(content) > MOST_PASTED_BYTES:
        raise UsageError(what, f"it is too long for pasted output (at most {format_size(MOST_PASTED_BYTES)})")
    found = paste(content.decode("utf-8", "replace"))
    if found is None:
        raise UsageError(what, "it is no snapshot, and no output of a tool that is known", PASTE)
    return found


def pasted_in(text: str) -> "Snapshot | None":
    """The snapshot of a text that is output of tools, or has some; None: it is none, or a log, also the kernel's."""
    from fourtuple.core.snapshot.pastes.paste import paste

    found = paste(text)
    return None if found is None or found.source == LOG else found


def is_snapshot_name(text: str) -> bool:
    """Whether a value of --from names a file, and not addresses.

    What can be an address is one: ./10.0.0.1 is a file.
    """
    if text == STDIN:
        return True
    try:
        parse_addresses(EndpointSpec.parse(text).host)
        return False
    except UsageError:
        return text.endswith(ENDINGS) or os.sep in text or os.path.exists(text)


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UsageError("standard input", f"it is too long (at most {format_size(MOST_BYTES)})")
    return content
