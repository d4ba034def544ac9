"""What a user wants in a file: plans, reports, exported runs, censuses. One way to write it, and one error."""

from pathlib import Path

from fourtuple.core.errors import UsageError
from fourtuple.store.output import write_whole


def write_output(file: Path, content: bytes) -> None:
    """Write the file whole or not at all, see store/output.py. Raises UsageError."""
    if file == Path("-"):
        raise UsageError("cannot write to -", "a file name is required", "Name a file.")
    try:
        write_whole(file, content)
    except OSError as error:
        raise UsageError(
            f"cannot write {file}", error.strerror or str(error), "Name a file in a folder of yours."
        ) from None
