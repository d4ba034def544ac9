"""One file of this user's own state: read and replaced under a lock, in a folder that only this user may write.

Whoever could write there could choose what `undo` sets as root. So folder and file have to belong to this user, no link
is followed, and the modes are 0700 and 0600.
"""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from fourtuple.core.backports import Self


class StateFile:
    """`with StateFile(path) as state`: inside the block this process has the file for itself.

    Its folder is created if it is missing. Raises OSError if the folder or the file is not this user's own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check_own(self._folder, str(folder))
            os.fchmod(self._folder, 0o700)
            self._lock = self._open(f"{self.path.name}.lock", os.O_RDWR | os.O_CREAT)
        except BaseException:
            os.close(self._folder)
            raise
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            for left in os.listdir(self._folder):  # by a process that was killed: with the lock, nobody is writing
                if left.startswith(f".{self.path.name}."):
                    os.unlink(left, dir_fd=self._folder)
        except BaseException:  # also Ctrl-C
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._lock)
        os.close(self._folder)

    def read(self, most_bytes: int) -> bytes | None:
        """The content; None: there is no file. Raises OSError, with EFBIG if it has more than `most_bytes`."""
        try:
            file = self._open(self.path.name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with open(file, "rb") as stream:
            content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self.path))
        return content

    def write(self, content: bytes) -> None:
        """Replace the content; a reader, or this process after a kill, finds the old one or the new one."""
        new = f".{self.path.name}.{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(new, flags, 0o600, dir_fd=self._folder)
        try:
            with open(file, "wb") as stream:
                stream.write(content)
            os.rename(new, self.path.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(new, dir_fd=self._folder)
            raise

    def _open(self, name: str, flags: int) -> int:
        """A descriptor of a regular file in the folder that belongs to this user. Raises OSError."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not block
        file = os.open(name, flags, 0o600, dir_fd=self._folder)
        try:
            _check_own(file, name)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file", name)
        except BaseException:
            os.close(file)
            raise
        return file


def _check_own(descriptor: int, name: str) -> None:
    owner = os.fstat(descriptor).st_uid
    if owner != os.geteuid():
        raise PermissionError(errno.EPERM, f"it belongs to user {owner}, not to this user ({os.geteuid()})", name)
