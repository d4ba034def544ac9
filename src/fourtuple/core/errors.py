"""The errors of this package, and the exit code that each one gives the command.

    FourtupleError
    ├── UsageError     2   the request is wrong: no host could do it, or it names what is not there
    ├── ShortfallError 1   the request is valid, but something is used up here: a limit, a port, memory, the disk
    └── CannotError    77  this kernel, this host or this user does not permit it, or what it needs is damaged

So a server cannot listen on an address that this host does not have (2), on a port that another socket has (1), on a
port below 1024 without the capability (77). A file that the user names is missing or of another kind (2), may not be
read (77), is a damaged or newer run database (77); the output cannot be written (1).

A command without an error exits with 0 if it did what was asked, and with 1 if it fell short: the last line of each
cli/NAME.py; for hold and serve, core/runs/judge.py decides. Ctrl-C before there is anything to report gives 130. The
last catch is cli/ending.py.

Each error has three parts: what was wanted, what stopped it, and what to do.
"""

EXIT_REACHED = 0
EXIT_SHORT = 1
EXIT_USAGE = 2
EXIT_CANNOT = 77
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class FourtupleError(Exception):
    """Base class of all errors of this package; it is never raised itself.

    wanted:     what was asked for
    stopped_by: the limit, rule or errno that prevented it, with its name and number; empty: `wanted` says it all
    do:         what to try next; empty: no advice
    """

    exit_code = EXIT_SHORT

    def __init__(self, wanted: str, stopped_by: str = "", do: str = "") -> None:
        super().__init__(wanted, stopped_by, do)
        self.wanted = wanted
        self.stopped_by = stopped_by
        self.do = do

    def __str__(self) -> str:
        text = f"{self.wanted}: {self.stopped_by}" if self.stopped_by else self.wanted
        return f"{text}. {self.do}" if self.do else text

    def to_json(self) -> dict[str, str | int]:
        return {
            "kind": type(self).__name__,
            "exit_code": self.exit_code,
            "wanted": self.wanted,
            "stopped_by": self.stopped_by,
            "do": self.do,
        }


class UsageError(FourtupleError):
    """The request is wrong."""

    exit_code = EXIT_USAGE


class ShortfallError(FourtupleError):
    """The request is valid, but a limit allows fewer connections than wanted, or what it needs is used up."""

    exit_code = EXIT_SHORT


class CannotError(FourtupleError):
    """This kernel, this host or this user does not permit it, or what it needs is damaged."""

    exit_code = EXIT_CANNOT


def no_extra(wanted: str, stopped_by: str, extra: str) -> CannotError:
    """The error where a library of an extra is missing; `fourtuple` names what is installed, no package on an index."""
    do = f"pip install 'fourtuple[{extra}]'; for pipx, uv and the pyz file see Extras in docs/install.md"
    return CannotError(wanted, stopped_by, do)
