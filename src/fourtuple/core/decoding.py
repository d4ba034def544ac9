"""JSON from a file, as the record that it should be: checked against its type, or one error."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def from_json(text: bytes | str, kind: type[T], hook: Callable[[type, Any], Any] | None = None) -> T:
    """The record of this kind. Raises ValueError, which says what is wrong, for any other text.

    hook: makes the values of types that msgspec does not know (its dec_hook); raises ValueError

    Besides its own errors, msgspec raises UnicodeError for what is not UTF-8, and RecursionError for deep nesting.
    """
    try:
        return msgspec.json.decode(text, type=kind, dec_hook=hook)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except UnicodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
