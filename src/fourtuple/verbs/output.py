"""What a user wants in a file: plans, reports, exported runs, censuses. One way to write it, and one error."""

import errno
from pathlib import Path

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.store.output import write_whole

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_output(file: Path, content: bytes) -> None:
    """Write the file whole or not at all, see store/output.py. Raises UsageError, or ShortfallError on a full disk."""
    if file == Path("-"):
        raise UsageError("cannot write to -", "a file name is required")
    try:
        write_whole(file, content)
    except OSError as error:
        kind = ShortfallError if error.errno in FULL else UsageError
        raise kind(f"cannot write {file}", error.strerror or str(error)) from None
