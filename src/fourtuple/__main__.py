"""`python -m fourtuple` and the `fourtuple` script."""

import _signal  # `signal` makes enumerations of it, which takes long enough to be interrupted
import atexit
import gc
import os
import sys

INTERRUPTED = 130  # core/errors.py, which is not imported yet when it is needed
SHORT = 1
AGAIN_S = 0.01
OBJECTS = 100_000  # made between two searches for garbage: a start makes fewer, which all stay, and are not searched


def main() -> None:
    """Run the command line, and end the process."""
    try:
        _run()
    except SystemExit as end:
        is_all = sys._getframe(1).f_globals.get("__name__") == "__main__"  # not a part of another program
        if isinstance(end.code, int) and is_all and not _is_observed():
            _leave(end.code)
        raise


def _run() -> None:
    """Run the command line to its end, SystemExit.

    Ctrl-C while Python imports modules, or ends, would be an error of whatever runs then; so it ends the process until
    the command has begun, and changes nothing once the command has ended.
    """
    # A shell starts programs in the background with SIG_IGN.
    heeded = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    try:
        if heeded:
            _signal.signal(_signal.SIGINT, _end_at_once)
        gc.set_threshold(OBJECTS)
        # NumPy's linear algebra would start threads that nothing here uses; a process with threads cannot fork safely.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        if sys.platform == "linux":  # elsewhere a snapshot can still be asked
            from fourtuple.kernel.begin import begin

            begin()  # before anything else opens a file
        from fourtuple.cli import cli
        from fourtuple.faces.text.encodable import make_encodable
        from fourtuple.verbs.interrupt import interrupt

        for stream in (sys.stdout, sys.stderr):
            make_encodable(stream)
        sys.unraisablehook = _unraisable
        if heeded:
            _signal.signal(_signal.SIGINT, interrupt)
        cli()
    except KeyboardInterrupt:  # in the moments before and after the command
        sys.exit(INTERRUPTED)
    except MemoryError:  # before there is enough to say more
        sys.stderr.write("fourtuple: this command needs more memory\n")
        sys.exit(SHORT)
    finally:
        if heeded:
            _signal.signal(_signal.SIGINT, _signal.SIG_IGN)


def _is_observed() -> bool:
    """Whether something needs Python's own end: a debugger, a profiler, or another thread."""
    threading = sys.modules.get("threading")
    return bool(sys.gettrace() or sys.getprofile() or (threading and threading.active_count() > 1))


def _leave(code: int) -> None:
    """End the process without taking every module apart first, which takes Python 10 to 50 ms.

    The command has closed what it opened, and has written its output (cli/ending.py).
    """
    from contextlib import suppress

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # it cannot be written, is closed, or None
            stream.flush()
    os._exit(code & 0xFF)


def _end_at_once(number: int, frame: object) -> None:
    os._exit(INTERRUPTED)


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Python ignores an exception in a destructor or at a fork, and prints it; Ctrl-C comes once more, in a moment."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    _signal.signal(_signal.SIGALRM, _signal.default_int_handler)
    _signal.setitimer(_signal.ITIMER_REAL, AGAIN_S)


if __name__ == "__main__":
    main()
