"""Run a command as a default container would have it: `python tests/deny.py unshare,netlink COMMAND…`.

A seccomp filter makes the named things fail with the errno that containers and small kernels give. Needs no privilege.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2  # prctl(2)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NUMBER, ARGUMENTS = 0, 16  # offsets in struct seccomp_data

NUMBERS = {
    "x86_64": {"socket": 41, "setsockopt": 54, "mount": 165, "unshare": 272, "io_uring_setup": 425},
    "aarch64": {"socket": 198, "setsockopt": 208, "mount": 40, "unshare": 97, "io_uring_setup": 425},
}
AF_NETLINK, IP_LOCAL_PORT_RANGE = 16, 51
# what → (system call, index and value of an argument or None for any, errno)
DENIED = {
    "unshare": ("unshare", None, errno.EPERM),
    "mount": ("mount", None, errno.EPERM),
    "netlink": ("socket", (0, AF_NETLINK), errno.EAFNOSUPPORT),
    "port_range": ("setsockopt", (2, IP_LOCAL_PORT_RANGE), errno.ENOPROTOOPT),
    "io_uring": ("io_uring_setup", None, errno.EPERM),
}


def instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def program(names: list[str]) -> bytes:
    code = b""
    for name in names:
        call, argument, number = DENIED[name]
        length = 1 if argument is None else 3
        code += instruction(LOAD, 0, 0, NUMBER)
        code += instruction(EQUAL, 0, length, NUMBERS[platform.machine()][call])
        if argument is not None:
            index, value = argument
            code += instruction(LOAD, 0, 0, ARGUMENTS + 8 * index)
            code += instruction(EQUAL, 0, 1, value)
        code += instruction(RETURN, 0, 0, FAIL | number)
    return code + instruction(RETURN, 0, 0, ALLOW)


def deny(names: list[str]) -> None:
    code = program(names)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel has no seccomp filters")


if __name__ == "__main__":
    deny(sys.argv[1].split(","))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  (no shell is meant)
