"""How much of an answer a regular expression may look at, so that no search takes long.

Python's `re` tries again at every place where a repetition could have ended earlier: `a*a*b` takes time that grows with
the square of the text, `(a+)+b` doubles it with each character. The steps that a search takes at worst follow from the
pattern: they are calculated here for texts of several sizes, and the largest size within MOST_STEPS is the window. What
RE2 (https://github.com/google/re2/wiki/Syntax) does not have is refused here, too: lookaround and back references.
"""

import functools
import itertools
import operator
import re
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.units import quoted

# Private, and tested: tests/core/talk/test_pattern.py fails if it changes.
regex: Any = import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
MOST_STEPS = 2**28  # about a quarter of a second: a step takes 1 ns
WINDOWS = tuple(2**power for power in range(16, 7, -1))  # bytes: 65,536 to 256
MOST_PATTERN = 1000
MOST_UNROLLED, MOST_ITEMS = 16, 10_000
_EVERY = 2**256 - 1  # a set of bytes is a number with a bit for each
_CATEGORIES = {"DIGIT": b"0-9", "SPACE": rb"\t\n\r\f\v ", "WORD": b"a-zA-Z0-9_"}


@dataclass(frozen=True, slots=True)
class BoundedPattern:
    """A regular expression, and where it can match.

    window_bytes: size of the text in which it is searched for at most; less if a longer text could not match, either
    prefix:       what a text that matches begins with; empty: anything
    """

    pattern: re.Pattern[bytes]
    window_bytes: int
    prefix: bytes


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is known of the rest of a pattern, from some place in it.

    steps: that it takes at worst to find out that it does not match at a place
    first: the bytes that it can begin with
    empty: it can match nothing
    """

    steps: int
    first: int
    empty: bool


_NOTHING = Remainder(0, 0, empty=True)


@functools.lru_cache(64)
def bounded(pattern: bytes) -> BoundedPattern:
    """The compiled pattern with its window.

    Raises UsageError if it is no regular expression, or if even the smallest window could take too long.
    """
    shown = f"the pattern {quoted(pattern.decode(errors='backslashreplace'))}"
    if not 0 < len(pattern) <= MOST_PATTERN:
        raise UsageError(shown, f"a pattern has 1 to {MOST_PATTERN:,} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern)
            parsed = regex.parse(pattern)
        if _size(parsed) > MOST_ITEMS:
            raise _RefusedError("it repeats what repeats too often")
        steps = {window: search_steps(parsed, window) for window in WINDOWS}
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(shown, f"it is not a regular expression: {error}") from None
    except _RefusedError as refused:
        raise UsageError(shown, str(refused), "Write it without, or expect until: or len: instead.") from None
    for window in WINDOWS:
        if steps[window] <= MOST_STEPS:
            longest = parsed.getwidth()[1] + 1 if _is_anchored(parsed) else window  # + 1: what $ or \b looks at
            return BoundedPattern(compiled, min(window, longest), _prefix(parsed))
    raise UsageError(
        shown,
        f"a search in {WINDOWS[-1]} bytes could take more than {MOST_STEPS:,} steps",
        "Begin it with ^, or repeat fewer things without a limit.",
    )


class _RefusedError(Exception):
    """A part of a pattern that has no useful bound."""


def search_steps(parsed: Any, window: int) -> int:
    """How many steps a search takes at worst in a text of that size."""
    whole = _walked(parsed, _NOTHING, window)
    return whole.steps + window if _is_anchored(parsed) else (whole.steps + 1) * window


def _is_anchored(parsed: Any) -> bool:
    """Whether it can match at the beginning of a text only."""
    begins = str(parsed[0][1]) if len(parsed) and str(parsed[0][0]) == "AT" else ""
    return begins == "AT_BEGINNING_STRING" or (begins == "AT_BEGINNING" and not parsed.state.flags & re.MULTILINE)


def _prefix(parsed: Any) -> bytes:
    if not _is_anchored(parsed) or parsed.state.flags & re.IGNORECASE:
        return b""
    letters = itertools.takewhile(lambda item: str(item[0]) == "LITERAL", itertools.islice(parsed, 1, None))
    return bytes(letter for _, letter in letters)


def _walked(items: Any, rest: Remainder, window: int) -> Remainder:
    """The remainder that begins with these items and ends with `rest`."""
    for operation, argument in reversed(list(items)):
        rest = _one(str(operation), argument, rest, window)
    return rest


def _one(operation: str, argument: Any, rest: Remainder, window: int) -> Remainder:
    match operation:
        case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
            return Remainder(rest.steps + 1, _bytes_of(operation, argument), empty=False)
        case "AT":
            return Remainder(rest.steps + 1, rest.first, rest.empty)
        case "SUBPATTERN":
            return _walked(argument[3], rest, window)
        case "ATOMIC_GROUP":
            return _walked(argument, rest, window)
        case "BRANCH":
            return _either([_walked(each, rest, window) for each in argument[1]])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            return _repeated(least, most, body, rest, window)
        case "ASSERT" | "ASSERT_NOT":
            raise _RefusedError("it looks ahead or behind")
        case "GROUPREF" | "GROUPREF_IGNORE" | "GROUPREF_EXISTS":
            raise _RefusedError("it refers back to a group")
    raise _RefusedError(f"{operation.lower()} is not supported")


def _either(ways: Sequence[Remainder]) -> Remainder:
    first = functools.reduce(operator.or_, (way.first for way in ways))
    return Remainder(1 + sum(way.steps for way in ways), first, any(way.empty for way in ways))


def _repeated(least: int, most: int, body: Any, rest: Remainder, window: int) -> Remainder:
    if _has_ways(body):
        if most > MOST_UNROLLED:
            raise _RefusedError("it repeats a repetition or alternatives, which can take exponential time")
        end = rest
        for _ in range(most - least):
            rest = _either([_walked(body, rest, window), end])
        for _ in range(least):
            rest = _walked(body, rest, window)
        return rest
    inner = _walked(body, _NOTHING, window)
    more = min(most - least, window)
    # If what follows cannot begin as another repetition does, it fails at once at every place but the last.
    sure = not rest.empty and not inner.first & rest.first
    steps = rest.steps
    if more:
        steps = more * inner.steps + (more + rest.steps if sure else (more + 1) * rest.steps)
    empty = rest.empty and (not least or inner.empty)
    first = inner.first if least and not inner.empty else inner.first | rest.first
    return Remainder(steps + min(least, window) * inner.steps, first, empty)


def _size(items: Any) -> int:
    """How many items a pattern has once what `_repeated` unrolls is unrolled."""
    total = 0
    for operation, argument in items:
        match str(operation):
            case "SUBPATTERN":
                total += _size(argument[3])
            case "ATOMIC_GROUP":
                total += _size(argument)
            case "BRANCH":
                total += sum(map(_size, argument[1]))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                times = min(argument[1], MOST_UNROLLED) if _has_ways(argument[2]) else 1
                total += _size(argument[2]) * times
        total += 1
    return total


def _has_ways(items: Any) -> bool:
    """Whether there are several ways to match these items at the same place."""
    for operation, argument in items:
        match str(operation):
            case "BRANCH":
                return True
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                if argument[0] != argument[1] or _has_ways(argument[2]):
                    return True
            case "SUBPATTERN":
                if _has_ways(argument[3]):
                    return True
            case "ATOMIC_GROUP":
                if _has_ways(argument):
                    return True
    return False


def _bytes_of(operation: str, argument: Any) -> int:
    """The bytes that a part of one byte matches, or more, without regard to case."""
    match operation:
        case "LITERAL":
            return _with_cases(1 << argument)
        case "NOT_LITERAL" | "ANY":
            return _EVERY
    found, negated = 0, False
    for kind, value in argument:
        match str(kind):
            case "NEGATE":
                negated = True
            case "LITERAL":
                found |= 1 << value
            case "RANGE":
                found |= (2 << value[1]) - (1 << value[0])
            case "CATEGORY":
                found |= _category(str(value))
            case _:
                return _EVERY
    return _EVERY & ~found if negated else _with_cases(found)


@functools.cache
def _category(name: str) -> int:
    plain = name.removeprefix("CATEGORY_")
    inside = _CATEGORIES.get(plain.removeprefix("NOT_"))
    if inside is None:
        return _EVERY
    found = sum(1 << byte for byte in range(256) if re.match(b"[" + inside + b"]", bytes([byte])))
    return _EVERY & ~found if plain.startswith("NOT_") else found


def _with_cases(found: int) -> int:
    """The set with both cases of each of its letters: a pattern may ignore case."""
    for upper in range(ord("A"), ord("Z") + 1):
        if found >> upper & 1 or found >> (upper + 32) & 1:
            found |= 1 << upper | 1 << (upper + 32)
    return found
