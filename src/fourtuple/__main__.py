"""`python -m fourtuple` and the `fourtuple` script."""

import _signal  # `signal` makes enumerations of it, which takes long enough to be interrupted
import os
import sys

INTERRUPTED = 130  # core/errors.py, which is not imported yet when it is needed
SHORT = 1
AGAIN_S = 0.01


def main() -> None:
    """Run the command line.

    Ctrl-C while Python imports modules, or ends, would be an error of whatever runs then; so it ends the process until
    the command has begun, and changes nothing once the command has ended.
    """
    # A shell starts programs in the background with SIG_IGN.
    heeded = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    try:
        if heeded:
            _signal.signal(_signal.SIGINT, _end_at_once)
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
