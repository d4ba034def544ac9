"""Numbers with units, parsed and printed from the same tables, so printed values can be typed in again.

Counts are decimal (1k = 1,000), sizes binary (1 KiB = 1,024 B), durations in seconds, rates a count per second.
"""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from fourtuple.core.errors import UsageError

COUNTS: Mapping[str, Fraction] = MappingProxyType(
    {"": Fraction(1), "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9)}
)
SIZES_BYTES: Mapping[str, Fraction] = MappingProxyType(
    {"B": Fraction(1), "KiB": Fraction(2**10), "MiB": Fraction(2**20), "GiB": Fraction(2**30), "TiB": Fraction(2**40)}
)
DURATIONS_S: Mapping[str, Fraction] = MappingProxyType(
    {
        "ns": Fraction(1, 10**9),
        "us": Fraction(1, 10**6),
        "ms": Fraction(1, 10**3),
        "s": Fraction(1),
        "m": Fraction(60),
        "h": Fraction(3600),
    }
)

# Beyond these no machine can do what is asked; within them, all sums fit into 64-bit numbers of nanoseconds.
MOST_COUNT = 2**63 - 1
MOST_S = 10**9  # 31 years
LEAST_PER_S, MOST_PER_S = Fraction(1, 10**6), Fraction(10**12)
MOST_CHARACTERS = 40

FROM = MappingProxyType({"m": 10, "h": 10})  # below N of these, the next smaller unit is easier to read: 93 s, 90 m


def parse_count(text: str) -> int:
    """`1M`, `20k`, `1.5k`, `100,000` → a whole number ≥ 0. Raises UsageError."""
    value = _parse(text, COUNTS, "a count", "100, 20k, 1.5M")
    if value.denominator != 1:
        raise UsageError(f"{text!r} is not a whole number")
    if value > MOST_COUNT:
        raise UsageError(f"{format_count(int(value))} is too large (at most {MOST_COUNT:,})")
    return int(value)


def parse_rate(text: str) -> float:
    """`20k/s` or `20k` → a number per second, more than 0. Raises UsageError."""
    value = _parse(text, COUNTS, "a rate", "500, 20k/s", optional="/s")
    if not value:
        raise UsageError(f"{text!r} must be more than 0")
    if not LEAST_PER_S <= value <= MOST_PER_S:
        raise UsageError(f"{text!r} must be between {float(LEAST_PER_S):f}/s and {format_rate(float(MOST_PER_S))}")
    return float(value)


def parse_duration(text: str) -> float:
    """`500ms`, `3s`, `2m`, `1h` → seconds ≥ 0. Raises UsageError, also for a number without a unit."""
    value = _parse(text, DURATIONS_S, "a duration", "500ms, 3s, 2m")
    if value > MOST_S:
        raise UsageError(f"{text!r} is too long (at most {MOST_S}s, 31 years)")
    return float(value)


def parse_size(text: str) -> int:
    """`64KiB`, `1.5MiB` → bytes ≥ 0. Raises UsageError."""
    return int(_parse(text, SIZES_BYTES, "a size", "512B, 64KiB, 2GiB"))


def format_count(value: int) -> str:
    return f"{value:,}"


def format_things(count: int, thing: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{format_count(count)} {thing}{'s' * (count != 1)}"


def format_were(count: int, thing: str = "") -> str:
    """`1 message was`, `2 messages were`; without a thing `1 was`, `2 were`."""
    return f"{format_things(count, thing) if thing else format_count(count)} {'was' if count == 1 else 'were'}"


def format_rate(per_s: float) -> str:
    """A whole number per second, and below 10 two significant digits: `2,000/s`, `0.5/s`."""
    return f"{per_s:,.0f}/s" if per_s >= 10 or per_s == 0 else f"{float(f'{per_s:.2g}'):g}/s"


def format_duration(seconds: float) -> str:
    """Three significant digits in a suitable unit: `18 µs` (typed `18us`), `51 ms`, `93 s`, `11.5 m`."""
    return _format(seconds, DURATIONS_S, "ns")


def format_size(value_bytes: float) -> str:
    return _format(value_bytes, SIZES_BYTES, "B")


def quoted(text: str) -> str:
    """A text as typed, in quotation marks, for an error; a long one is shortened."""
    return repr(text) if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]!r}… ({len(text):,} characters)"


def _parse(text: str, table: Mapping[str, Fraction], what: str, examples: str, *, optional: str = "") -> Fraction:
    """The number times its unit. Raises UsageError.

    optional: what may follow
    """
    compact = text.removesuffix(optional).strip().replace(",", "").replace("_", "").replace("µ", "u")
    digits = compact.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = compact[len(digits) :].strip()
    plain = digits.replace(".", "", 1)
    if unit not in table or not (plain.isascii() and plain.isdecimal()):
        raise UsageError(f"{quoted(text)} is not {what} (examples: {examples})")
    if len(text) > MOST_CHARACTERS:  # also because int() refuses texts of 4,300 digits
        raise UsageError(f"{quoted(text)} has too many digits")
    return Fraction(digits) * table[unit]


def _format(value: float, table: Mapping[str, Fraction], smallest: str) -> str:
    unit = smallest
    for name, scale in table.items():
        if value >= float(scale) * (FROM.get(name, 1) - 0.0005):  # what would round up to 1 is 1
            unit = name
    scaled = value / float(table[unit])
    digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    number = f"{scaled:,.{digits}f}"
    return f"{number.rstrip('0').rstrip('.') if digits else number} {unit.replace('us', 'µs')}"
