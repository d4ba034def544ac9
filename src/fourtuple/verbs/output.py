"""What a user wants in a file: plans, reports, exported runs, censuses. One way to write it, and one error."""

import errno
from pathlib import Path

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.store.output import write_whole

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_output(file: Path, content: bytes) -> None:
    """Write the file whole or not at all, see store/output.py. Raises UsageError, or ShortfallError on a full disk."""
    if file == Path("-"):
        raise UsageError("cannot write to -", "a file name is required", "Name a file.")
    try:
        write_whole(file, content)
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in FULL:
            raise ShortfallError(f"cannot write {file}", why, "Make room on that disk, or name another file.") from None
        raise UsageError(f"cannot write {file}", why, "Name a file in a folder of yours.") from None
