"""A file that the user names for output: written whole or not at all, and never through another user's link.

A regular file is replaced by rename(2): whoever reads it finds the old content or the new one. In a folder where every
user may write (sticky, such as /tmp), links, files and pipes of other users are refused. These are the rules of
fs.protected_symlinks, fs.protected_regular and fs.protected_fifos (Documentation/admin-guide/sysctl/fs.rst, v6.18),
applied whatever this host has set.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

MOST_LINKS = 40  # MAXSYMLINKS, include/linux/namei.h
SHARED = stat.S_ISVTX | stat.S_IWOTH
# Documentation/admin-guide/devices.txt (v6.18): /dev/null and /dev/full; the numbers of terminals
SINKS = {os.makedev(1, 3), os.makedev(1, 7)}
TERMINALS = {4, 5, *range(136, 144)}
PLANTED = "it belongs to another user, in a folder where every user may write"


def write_whole(path: Path, content: bytes) -> None:
    """Write the file, with the mode and the owner that it had; a new one gets those of any new file.

    /dev/stdout and /dev/fd/N are this process's own descriptors, which are written to as they are; so are pipes and
    terminals. Raises OSError, also for what is no place for output: a folder, a device, another user's link.
    """
    place = _followed(path.absolute())
    if place.parent == _own_descriptors():
        _write_all(os.dup(int(place.name)), content)
        return
    folder = os.open(place.parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            before = os.stat(place.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            replace_in(folder, place.name, content, 0o666)
            return
        if _is_planted(before, os.fstat(folder)):
            raise PermissionError(errno.EACCES, PLANTED, str(path))
        if stat.S_ISREG(before.st_mode):
            _replace(folder, place.name, before, content)
        else:
            _write_into(folder, place.name, content)
    finally:
        os.close(folder)


def replace_in(folder: int, name: str, content: bytes, mode: int, before: os.stat_result | None = None) -> None:
    """Replace the file `name`, or create it, by renaming a new file to that name.

    folder: a descriptor of its folder
    mode:   of the new file, less the umask
    before: the file whose owner, group and permissions are kept

    Raises OSError; nothing is left behind then.
    """
    new = f".fourtuple.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(new, flags, mode, dir_fd=folder)
    try:
        if before is not None:
            for owner in (before.st_uid, -1):  # who is not root can at most keep the group
                with suppress(PermissionError):
                    os.fchown(file, owner, before.st_gid)
                    break
            os.fchmod(file, before.st_mode & 0o777)
        _write_all(file, content, sync=True)
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise


def _replace(folder: int, name: str, before: os.stat_result, content: bytes) -> None:
    """Replace a regular file that may be written to; where its folder does not permit that, write into it."""
    if not os.access(name, os.W_OK, dir_fd=folder, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
    try:
        replace_in(folder, name, content, 0o600, before)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY):  # EBUSY: it is a mount point
            raise
        _write_into(folder, name, content)


def _write_into(folder: int, name: str, content: bytes) -> None:
    """Write into an existing file, pipe or terminal. Raises OSError."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    is_open = found.st_rdev in SINKS or os.major(found.st_rdev) in TERMINALS
    if stat.S_ISBLK(found.st_mode) or (stat.S_ISCHR(found.st_mode) and not is_open):
        raise OSError(errno.EPERM, "it is a device", name)  # opening one may already do something
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
    _write_all(os.open(name, flags | os.O_TRUNC * stat.S_ISREG(found.st_mode), dir_fd=folder), content)


def _write_all(file: int, content: bytes, *, sync: bool = False) -> None:
    """Write everything and close the descriptor. Raises OSError."""
    with open(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        if sync:
            os.fsync(file)


def _followed(path: Path) -> Path:
    """The path without links, also among its folders. Raises OSError for a link that must not be followed."""
    own = _own_descriptors()
    ahead, place, links = [*reversed(path.parts[1:])], Path("/"), 0
    while ahead:
        if (part := ahead.pop()) == "..":
            place = place.parent
            continue
        here = place / part
        try:
            found = here.lstat()
        except FileNotFoundError:  # to be created, or opening its folder will say so
            found = None
        if found is None or not stat.S_ISLNK(found.st_mode) or place == own:
            place = here
            continue
        if (links := links + 1) > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if _is_planted(found, place.stat()):
            raise PermissionError(errno.EACCES, f"the link {here}: {PLANTED}", str(path))
        target = Path(os.readlink(here))
        place = Path("/") if target.is_absolute() else place
        ahead += [part for part in reversed(target.parts) if part != "/"]
    return place


def _own_descriptors() -> Path | None:
    """The folder of this process's descriptors, whose links are no paths (proc(5)); None: there is no /proc."""
    try:
        return Path("/proc", os.readlink("/proc/self"), "fd")
    except OSError:
        return None


def _is_planted(found: os.stat_result, folder: os.stat_result) -> bool:
    """Whether it belongs neither to this user nor to the folder's owner, in a folder where every user may write."""
    return folder.st_mode & SHARED == SHARED and found.st_uid not in (os.geteuid(), folder.st_uid)
