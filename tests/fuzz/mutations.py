"""Changes that make a valid text, byte string or JSON value a strange one, drawn from a seeded generator."""

from random import Random
from typing import Any

STRANGE = (
    "",
    " ",
    "-",
    "-1",
    "0",
    "1.5",
    "1e999",
    "nan",
    "0x10",
    "٣",
    "²",
    "9" * 20,
    "9" * 400,
    "9" * 5000,
    str(2**31),
    str(2**63),
    str(2**64),
    "\udcff",
    "é",
    "\U0001f642",
    "\x1b[31m",
    "\r\n",
    "\t",
    "%s",
    "{}",
    "'",
    '"',
    "\\",
    "\\x",
    "[",
    "]",
    "::",
    ":",
    "/",
    "//",
    "..",
    ",",
    "@",
    "=",
    "--",
    "(" * 60,
    "a" * 70_000,
)
INTEGERS = (0, 1, -1, 2**15, 2**16 - 1, 2**31 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**40, -(2**63))


def text(random: Random, original: str) -> str:
    """The text after one to three changes; sometimes another one altogether."""
    if random.random() < 0.1:
        return random.choice(STRANGE)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        start, end = sorted(random.randrange(len(original) + 1) for _ in range(2))
        match random.randrange(5):
            case 0:
                original = original[:start] + random.choice(STRANGE) + original[start:]
            case 1:
                original = original[:start] + original[end:]
            case 2:
                original = original[:end] + original[start:]
            case 3:
                original = original[:start] + random.choice(STRANGE) + original[end:]
            case 4:
                original = (
                    original[:start] + chr(random.choice((0, 10, 32, 45, 48, 57, 127, 0xA0, 0x2192))) + original[end:]
                )
    return original


def octets(random: Random, original: bytes) -> bytes:
    """The bytes after one to three changes: flipped, cut, repeated, moved, or a number that is out of range."""
    data = bytearray(original)
    for _ in range(random.choice((1, 1, 2, 3))):
        start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
        match random.randrange(6):
            case 0 if data:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            case 1:
                del data[start:]
            case 2:
                del data[start : min(end, start + 64)]
            case 3:
                data[start:start] = data[start : min(end, start + 64)]
            case 4:
                data[start:start] = random.randbytes(random.choice((1, 2, 4, 16)))
            case 5:
                number = random.choice((0, 1, 3, 2**16 - 1, 2**31, 2**32 - 1)).to_bytes(4, "little")
                place = start & ~3
                data[place : place + 4] = number[: random.choice((1, 2, 4))]
    return bytes(data)


def json_value(random: Random, original: Any) -> Any:
    """The value with one node replaced, removed or added."""
    if isinstance(original, dict) and original and random.random() < 0.8:
        name = random.choice(sorted(original))
        if random.random() < 0.1:
            return {key: value for key, value in original.items() if key != name}
        if random.random() < 0.05:
            return original | {random.choice(STRANGE): any_value(random)}
        return original | {name: json_value(random, original[name])}
    if isinstance(original, list) and original and random.random() < 0.8:
        place = random.randrange(len(original))
        return [*original[:place], json_value(random, original[place]), *original[place + random.choice((0, 1, 1)) :]]
    if isinstance(original, str) and random.random() < 0.6:
        return text(random, original)
    return any_value(random)


def any_value(random: Random) -> Any:
    """A value of any type of JSON."""
    nested: Any = []
    for _ in range(random.choice((1, 5, 200)) if random.random() < 0.05 else 0):
        nested = [nested]
    return random.choice(
        (
            None,
            True,
            random.choice(INTEGERS),
            random.random() * 1e300,
            random.choice(STRANGE),
            {},
            nested,
            {"a": 1},
            [0],
        )
    )
