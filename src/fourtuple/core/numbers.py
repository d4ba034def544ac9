"""Numbers in texts that others write, such as files of /proc: a whole number within 64 bits, or nothing."""

MOST = 2**64 - 1  # the kernel's largest type is unsigned long long
_DIGITS = frozenset("0123456789")
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_MOST_DIGITS = 32  # more than MOST has; int() refuses texts of 4,300 digits and more with ValueError


def number_of(text: str, base: int = 10) -> int | None:
    """The number ≥ 0 that the whole text is, in ASCII digits; None: it is none, or more than MOST.

    base: 10 or 16

    int() would also take signs, spaces, underscores and the digits of other scripts.
    """
    if not 0 < len(text) <= _MOST_DIGITS or not (_DIGITS if base == 10 else _HEX_DIGITS).issuperset(text):
        return None
    number = int(text, base)
    return number if number <= MOST else None


def signed_number_of(text: str) -> int | None:
    """The same for a number that may be negative."""
    number = number_of(text.removeprefix("-"))
    return -number if number is not None and text.startswith("-") else number


def complete_lines(text: str) -> list[str]:
    """The lines of a text that end with a newline: a last line that was cut could be another number."""
    return text[: text.rfind("\n") + 1].splitlines()
