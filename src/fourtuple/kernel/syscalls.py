"""System calls that Python 3.11 does not offer: namespaces, mounts, prctl, kcmp. Each raises OSError, with its name."""

import ctypes
import errno
import os

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # include/uapi/linux/sched.h
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32  # include/uapi/linux/mount.h
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 24, 36  # include/uapi/linux/prctl.h
_MOUNT_SETATTR = 442  # the same number on every architecture (asm-generic/unistd.h), since Linux 5.12
# Its number differs between architectures (arch/*/**/syscall.tbl, include/uapi/asm-generic/unistd.h, v6.18).
_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "loongarch64": 272, "ppc64le": 354, "s390x": 343, "i686": 349}
_KCMP_FILE = 0  # include/uapi/linux/kcmp.h
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1  # linux/fcntl.h, linux/mount.h


class _MountAttributes(ctypes.Structure):
    """struct mount_attr, include/uapi/linux/mount.h (v5.12)."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd"))


def unshare(flags: int) -> None:
    """Move this process into new namespaces; of CLONE_NEWPID, only its later children are part (unshare(2))."""
    _call("unshare", ctypes.c_int(flags))


def setns(handle: int, flag: int) -> None:
    """Move this thread into the namespace of an open file; into a PID namespace, only its later children (setns(2))."""
    _call("setns", ctypes.c_int(handle), ctypes.c_int(flag))


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """mount(2) without options of a file system."""
    _call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None)


def make_read_only(target: str) -> None:
    """Make the mount at `target` and all mounts below it read-only (mount_setattr(2)). ENOSYS before Linux 5.12."""
    wanted = _MountAttributes(attr_set=_MOUNT_ATTR_RDONLY)
    _call(
        "syscall",
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_long(_AT_FDCWD),
        ctypes.c_char_p(target.encode()),
        ctypes.c_long(_AT_RECURSIVE),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    _call("prctl", ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def compare_files(first: tuple[int, int], second: tuple[int, int]) -> int:
    """0 if two descriptors, as (PID, number), are the same open file, else -1 or 1, which orders them (kcmp(2))."""
    number = _KCMP.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, "kcmp(): its number on this architecture is not known")
    (pid, handle), (other_pid, other) = first, second
    words = (number, pid, other_pid, _KCMP_FILE, handle, other)
    order: int = ctypes.CDLL(None, use_errno=True).syscall(*map(ctypes.c_long, words))
    if order < 0:
        raise OSError(ctypes.get_errno(), f"kcmp(): {os.strerror(ctypes.get_errno())}")
    return {0: 0, 1: -1}.get(order, 1)


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}(): {os.strerror(number)}")
