"""What can be wrong, as a small tree; the exit code of the command says which.

    FourtupleError
    ├── UsageError     2   the request makes no sense as it stands
    ├── ShortfallError 1   it makes sense, and fewer connections than wanted are possible
    └── CannotError    77  this kernel or this user cannot do it

Each carries three parts: what was wanted, what stopped it, what to do.
"""

EXIT_REACHED = 0
EXIT_SHORT = 1
EXIT_USAGE = 2
EXIT_CANNOT = 77
EXIT_INTERRUPTED = 130  # as a shell gives it for SIGINT


class FourtupleError(Exception):
    """Never raised itself.

    wanted:     what was asked for
    stopped_by: the limit, rule or errno in the way, with its name and number
    do:         the next thing to try; empty where there is nothing
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


class UsageError(FourtupleError):
    exit_code = EXIT_USAGE


class ShortfallError(FourtupleError):
    exit_code = EXIT_SHORT


class CannotError(FourtupleError):
    exit_code = EXIT_CANNOT
