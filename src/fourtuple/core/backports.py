"""What Python 3.11 added and this code uses, for Python 3.10 too; where there is 3.11, these are its own."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

if sys.version_info >= (3, 11):
    from enum import StrEnum as StrEnum
    from typing import Self as Self
    from typing import Unpack as Unpack
else:
    from enum import Enum

    from typing_extensions import Self as Self
    from typing_extensions import Unpack as Unpack

    class StrEnum(str, Enum):
        """An enumeration whose members are shown as the strings that they are."""

        __str__ = str.__str__


def add_note(error: BaseException, note: str) -> None:
    """Add a text that is shown below the error's traceback; before Python 3.11, exceptiongroup shows it."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        error.__dict__.setdefault("__notes__", []).append(note)


def parse_iso(text: str) -> "datetime":
    """datetime.fromisoformat(), which reads Z, +0100 and 20260102T103205 from Python 3.11 on. Raises ValueError."""
    import re
    from datetime import datetime

    form = (
        r"(\d{4})-?(\d\d)-?(\d\d)"
        r"(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,6})\d*)?)?)? ?(?:(Z)|([+-]\d\d):?(\d\d)?)?)?"
    )
    if sys.version_info < (3, 11) and (found := re.fullmatch(form, text)):
        year, month, day, hour, minute, second, fraction, utc, zone, zone_minute = found.groups("")
        text = f"{year}-{month}-{day}"
        if hour:
            text += f"T{hour}:{minute or '00'}:{second or '00'}.{fraction:0<6}"
        if utc or zone:
            text += f"{zone or '+00'}:{zone_minute or '00'}"
    return datetime.fromisoformat(text)
