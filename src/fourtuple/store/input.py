"""The content of a file that a user names: read whole, up to a limit, and never waited for.

A FIFO, a terminal or a device in place of a file would block the command, or never end (fifo(7)). Only a pipe that this
process was given by its parent is read to its end, as in `--plan <(…)` or `--plan /dev/stdin`.
"""

import errno
import os
import stat

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.units import format_size

DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")  # names of descriptors that this process has (proc(5))
NOT_PERMITTED = (errno.EACCES, errno.EPERM)
CHECK = "Check the name: `ls -l` shows what is there."


def read_file(file: str, most_bytes: int, what: str) -> bytes:
    """The content of a file.

    most_bytes: the most that it may have
    what:       what the user calls it, for errors, such as `the plan x.json`

    Raises UsageError if it is missing, no regular file or too long; CannotError if this user may not read it.
    """
    try:
        with open(file, "rb", opener=_open_nonblocking) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if stat.S_ISFIFO(mode) and file.startswith(DESCRIPTORS):
                os.set_blocking(opened.fileno(), True)
            elif not stat.S_ISREG(mode):
                raise UsageError(what, "it is not a regular file", "Name a file that has the content.")
            content = opened.read(most_bytes + 1)
    except OSError as error:
        kind, do = (CannotError, "Run as who may read it.") if error.errno in NOT_PERMITTED else (UsageError, CHECK)
        raise kind(what, error.strerror or str(error), do) from None
    except ValueError as error:  # a NUL in the path, or a character that the file system's encoding lacks
        raise UsageError(what, str(error), CHECK) from None
    if len(content) > most_bytes:
        raise UsageError(what, f"it is too long (at most {format_size(most_bytes)})")
    return content


def _open_nonblocking(file: str, flags: int) -> int:
    """Open a FIFO without waiting for its writer, and a terminal without making it ours (open(2))."""
    return os.open(file, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
