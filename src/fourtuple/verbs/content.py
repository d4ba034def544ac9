"""The message on a connection, as the user names it by a file."""

from fourtuple.core.runs.content import MOST_BYTES, check_content
from fourtuple.kernel.files import read_file


def read_content(file: str) -> bytes:
    """The content of the file. Raises as read_file, and UsageError as check_content does."""
    content = read_file(file, MOST_BYTES, f"the message @{file}")
    check_content(content)
    return content
