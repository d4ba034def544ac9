"""The name and the note that a user gives to a run."""

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass

MOST_NAME, MOST_NOTE = 60, 1000  # characters


@dataclass(frozen=True, slots=True)
class Label:
    """What a user calls a run. Empty: nothing.

    name: stands for the number of the run where no other stored run has it
    note: any text on one line
    """

    name: str = ""
    note: str = ""

    @classmethod
    def of(cls, name: str | None, note: str | None) -> "Label":
        """The label as typed; None: not typed. Raises UsageError as check_name does, and for a note."""
        if name is not None:
            check_name(name)
        if note is not None:
            _check_text("--note", note, MOST_NOTE)
        return cls(name or "", note or "")


def check_name(name: str) -> None:
    """Raises UsageError for a text that cannot be the name of a run: a number, an option, or not printable."""
    _check_text("the name of a run", name, MOST_NAME)
    if name.isnumeric():
        raise UsageError(f"the name of a run: {name!r}", "digits alone are the number of a run", f"Write run-{name}.")
    if name.startswith("-"):
        raise UsageError(f"the name of a run: {name!r}", "it begins like an option")


def _check_text(what: str, text: str, most: int) -> None:
    if not text.strip():
        raise UsageError(what, "it is empty", "Leave it out.")
    if len(text) > most:
        raise UsageError(what, f"it has {len(text):,} characters, and at most {most:,} are possible")
    if text != text.strip() or not text.isprintable():
        raise UsageError(f"{what}: {text!r}", "it has characters that are not printable, or space around it")
