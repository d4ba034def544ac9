"""A file that the user names for output: written whole or not at all, and never through another user's link.

A regular file is replaced by rename(2): whoever reads it finds the old content or the new one. In a folder where every
user may write (sticky, such as /tmp), links, files and pipes of other users are refused. These are the rules of
fs.protected_symlinks, fs.protected_regular and fs.protected_fifos (Documentation/admin-guide/sysctl/fs.rst, v6.18),
applied whatever this host has set. Works without Linux.
"""

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

MOST_LINKS = 40  # MAXSYMLINKS, include/linux/namei.h
SHARED = stat.S_ISVTX | stat.S_IWOTH
# Documentation/admin-guide/devices.txt (v6.18): /dev/null and /dev/full; the numbers of terminals
SINKS = {os.makedev(1, 3), os.makedev(1, 7)}
TERMINALS = {4, 5, *range(136, 144)}
PLANTED = "it belongs to another user, in a folder where every user may write"
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # not on every system
STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


def write_whole(path: Path, content: bytes) -> None:
    """Write the file, with the mode and the owner that it had; a new one gets those of any new file.

    /dev/stdout and /dev/fd/N are this process's own descriptors, which are written to as they are; so are pipes and
    terminals. Raises OSError, also for what is no place for output: a folder, a device, another user's link.
    """
    place = _followed(path.absolute())
    if (descriptor := _own_descriptor(str(place))) is not None:
        _write_all(os.dup(descriptor), content)
        return
    try:
        before = place.lstat()
    except FileNotFoundError:
        _replace(place, content)
        return
    if _is_planted(before, place.parent.stat()):
        raise PermissionError(errno.EACCES, PLANTED, str(path))
    if not stat.S_ISREG(before.st_mode):
        _write_into(place, before, content)
        return
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    try:
        _replace(place, content, before)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY):  # EBUSY: it is a mount point
            raise
        _write_into(place, before, content)  # its folder does not permit a new file


def _replace(place: Path, content: bytes, before: os.stat_result | None = None) -> None:
    """Replace the file, or create it, by renaming a new file. before: its owner, group and permissions are kept"""
    new = place.with_name(f".fourtuple.{os.urandom(8).hex()}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW, 0o666 if before is None else 0o600)
    try:
        _write_all(file, content, sync=True)
        if before is not None:
            _like(new, before)
        new.replace(place)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise


def _like(new: Path, before: os.stat_result) -> None:
    """Give the file the owner, the group and the permissions of another, as far as this user may."""
    for owner in (before.st_uid, -1) if hasattr(os, "chown") else ():  # who is not root can at most keep the group
        with suppress(PermissionError):
            os.chown(new, owner, before.st_gid, follow_symlinks=False)
            break
    new.chmod(before.st_mode & 0o777)


def _write_into(place: Path, found: os.stat_result, content: bytes) -> None:
    """Write into an existing file, pipe or terminal. Raises OSError."""
    is_open = found.st_rdev in SINKS or os.major(found.st_rdev) in TERMINALS
    if stat.S_ISBLK(found.st_mode) or (stat.S_ISCHR(found.st_mode) and not is_open):
        raise OSError(errno.EPERM, "it is a device", str(place))  # opening one may already do something
    flags = os.O_WRONLY | NOFOLLOW | os.O_NOCTTY | os.O_TRUNC * stat.S_ISREG(found.st_mode)
    _write_all(os.open(place, flags), content)


def _write_all(file: int, content: bytes, *, sync: bool = False) -> None:
    """Write everything and close the descriptor. Raises OSError."""
    with open(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        if sync:
            os.fsync(file)


def _followed(path: Path) -> Path:
    """The path without links, also among its folders. Raises OSError for a link that must not be followed."""
    ahead, place, links = [*reversed(path.parts[1:])], Path(path.anchor), 0
    if _own_descriptor(str(path)) is not None:
        return path
    while ahead:
        if (part := ahead.pop()) == "..":
            place = place.parent
            continue
        here = place / part
        try:
            found = here.lstat()
        except FileNotFoundError:  # to be created, or opening it will say so
            found = None
        if found is None or not stat.S_ISLNK(found.st_mode):
            place = here
            continue
        if (links := links + 1) > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if _is_planted(found, place.stat()):
            raise PermissionError(errno.EACCES, f"the link {here}: {PLANTED}", str(path))
        target = Path(os.readlink(here))
        if _own_descriptor(str(target)) is not None:
            return target
        place = Path(target.anchor) if target.is_absolute() else place
        ahead += [part for part in reversed(target.parts) if part != target.anchor]
    return place


def _own_descriptor(path: str) -> int | None:
    """The descriptor of this process that the path means; its link in /proc is no path (proc_pid_fd(5)). None: none"""
    number = re.fullmatch(r"(?:/dev|/proc/self)/fd/([0-9]{1,9})", path)
    return int(number[1]) if number else STANDARD.get(path)


def _is_planted(found: os.stat_result, folder: os.stat_result) -> bool:
    """Whether it belongs neither to this user nor to the folder's owner, in a folder where every user may write."""
    if folder.st_mode & SHARED != SHARED or not hasattr(os, "geteuid"):
        return False
    return found.st_uid not in (os.geteuid(), folder.st_uid)
