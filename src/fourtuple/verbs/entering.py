"""How a command enters the network namespace that it is asked about."""

import contextlib
import errno
import os

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.numbers import number_of
from fourtuple.core.units import quoted

# There is no such namespace, or what has its name is none (open(2), setns(2)).
NO_NAMESPACE = frozenset({errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})


def go_into(pid: int | None, netns: str | None) -> dict[str, str]:
    """Move this process into another network namespace permanently; returns the host's sysctls, read before the move.

    Without a namespace to enter it stays where it is, and nothing is read.

    pid:   the process whose namespace to enter; without permission this process stays where it is
    netns: a name from `ip netns add`, or a PID

    Only for a program with one thread (setns(2)). Raises UsageError if there is none, CannotError if it cannot be
    entered.
    """
    if pid is None and netns is None:
        return {}
    from fourtuple.core.limits.table import SYSCTLS
    from fourtuple.kernel.netns import enter, enter_named
    from fourtuple.kernel.proc.pid import same_network
    from fourtuple.kernel.proc.sysctl import host_sysctls

    outside = host_sysctls(SYSCTLS)
    try:
        if netns is not None and (number := number_of(netns)) is not None:
            if not same_network(number):
                enter(number)
        elif netns is not None:
            if "/" in netns or "\0" in netns:  # ip-netns(8) has no such name; a path could lead to anything
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            enter_named(netns)
        elif pid is not None and not same_network(pid):
            with contextlib.suppress(PermissionError):
                enter(pid)
    except OSError as error:
        if error.errno not in NO_NAMESPACE:
            reason = f"{error.strerror}: only root or the user who created it can enter it"
            raise CannotError(f"the network namespace {quoted(netns or str(pid))}", reason) from None
        raise UsageError(*_absent(pid, netns)) from None
    return outside


def _absent(pid: int | None, netns: str | None) -> tuple[str, str]:
    """What was asked for, and that it is not there."""
    if netns is None:
        return f"--pid {pid}", "no such process"
    if number_of(netns) is not None:
        return f"--netns {netns}", "no such process"
    return f"--netns {quoted(netns)}", "`ip netns` does not list this name"
