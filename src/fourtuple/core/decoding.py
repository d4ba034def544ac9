"""JSON from a file, as the record that it should be: checked against its type, or one error."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def from_json(text: bytes | str, kind: type[T]) -> T:
    """The record of this kind. Raises ValueError, which says what is wrong, for any other text.

    Besides its own errors, msgspec raises UnicodeError for what is not UTF-8, and RecursionError for deep nesting.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except UnicodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
