"""Space on the disk that is kept free for the end of a run: its outcome is stored even if the disk is full by then."""

import contextlib
import os
from pathlib import Path

RESERVED_BYTES = 2**18  # an outcome takes a few pages in the journal, and as many in the file


class Reserve:
    """Occupies RESERVED_BYTES next to a file, until they are released.

    The space belongs to a file without a name (O_TMPFILE, open(2)), which the kernel removes when the process ends for
    any reason. A file system without such files, or one that is full already, reserves nothing.
    """

    def __init__(self, beside: Path | None) -> None:
        """Occupy the space; beside: None: there is nothing to reserve."""
        self._descriptor: int | None = None
        if beside is None:
            return
        with contextlib.suppress(OSError):
            self._descriptor = os.open(beside.absolute().parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._descriptor, 0, RESERVED_BYTES)

    def release(self) -> None:
        """Give the space back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
