"""The message on a connection, as the user names it by a file."""

from fourtuple.core.talk.content import MOST_BYTES, check_size
from fourtuple.core.talk.script import Script
from fourtuple.store.input import read_file


def read_content(file: str, *, allow_empty: bool = False) -> bytes:
    """The content of the file. Raises as read_file, and UsageError as check_size does."""
    content = read_file(file, MOST_BYTES, f"the message @{file}")
    if content or not allow_empty:
        check_size(len(content))
    return content


def with_files(script: Script) -> Script:
    """The script with the lines of the files that it names. Raises UsageError, CannotError."""
    if not script.files:
        return script
    return script.with_lines(
        {path: read_file(path, MOST_BYTES, f"the file of {{line:{path}}}") for path in script.files}
    )
