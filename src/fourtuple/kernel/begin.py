"""How each of our programs begins: with standard streams, and with the exit statuses of its children."""

import _signal  # as in __main__.py
import os
import sys


def begin() -> None:
    """The first call of each of our programs: makes the exit statuses of children and the standard streams available.

    SIGCHLD gets its default action, because exec keeps an ignored signal ignored (signal(7)). Where a descriptor from 0
    to 2 is closed, it is opened on /dev/null; a file opened later would get its number.
    """
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets this number, the lowest that is unused
        if getattr(sys, name) is None:  # Python sets it so if the descriptor was closed
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
