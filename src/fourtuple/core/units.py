"""Numbers with units, parsed and printed from the same tables, so printed values can be typed in again.

Counts are decimal (1k = 1,000), sizes binary (1 KiB = 1,024 B), durations in seconds, rates a count per second.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from fourtuple.core.errors import UsageError

COUNTS: Mapping[str, Fraction] = MappingProxyType(
    {"": Fraction(1), "k": Fraction(10**3), "K": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9)}
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
# How else a unit is written, in lower case: an error says which one is meant.
SPELLINGS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        unit: frozenset(others.split())
        for unit, others in {
            "k": "thousand",
            "M": "m mio million",
            "G": "g billion",
            "us": "usec microseconds",
            "ms": "msec millis milliseconds",
            "s": "sec secs second seconds",
            "m": "min mins minute minutes",
            "h": "hr hrs hour hours",
            "B": "b byte bytes",
            "KiB": "k kb kib",
            "MiB": "m mb mib",
            "GiB": "g gb gib",
            "TiB": "t tb tib",
        }.items()
    }
)
EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "count": "Write 100, 20k or 1.5M.",
        "rate": "Write 500/s or 20k/s.",
        "time": "Write 500ms, 3s, 2m or 1m30s.",
        "size": "Write 512B, 64KiB or 2GiB.",
    }
)
_SPLIT = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) *([A-Za-z]*)")
_SEVERAL = re.compile(r"(?:[0-9]+(?:\.[0-9]*)? *[A-Za-z]+ *){2,}")

# Beyond these no machine can do what is asked; within them, all sums fit into 64-bit numbers of nanoseconds.
MOST_COUNT = 2**63 - 1
MOST_S = 10**9  # 31 years
LEAST_PER_S, MOST_PER_S = Fraction(1, 10**6), Fraction(10**12)
MOST_CHARACTERS = 40

FROM = MappingProxyType({"m": 10, "h": 10})  # below N of these, the next smaller unit is easier to read: 93 s, 90 m


def parse_count(text: str) -> int:
    """`1M`, `20k`, `1.5k`, `100,000` → a whole number ≥ 0. Raises UsageError."""
    number, unit = _parse(text, COUNTS, "count")
    value = number * unit
    if value.denominator != 1:
        raise UsageError(quoted(text), "it is not a whole number", EXAMPLES["count"])
    if value > MOST_COUNT:
        raise UsageError(format_count(int(value)), f"it is too large (at most {MOST_COUNT:,})", EXAMPLES["count"])
    return int(value)


def parse_rate(text: str) -> float:
    """`20k/s` or `20k` → a number per second, more than 0. Raises UsageError."""
    number, unit = _parse(text, COUNTS, "rate", text.removesuffix("/s"))
    value = number * unit
    if not value:
        raise UsageError(quoted(text), "it must be more than 0", EXAMPLES["rate"])
    if not LEAST_PER_S <= value <= MOST_PER_S:
        most = format_rate(float(MOST_PER_S))
        raise UsageError(quoted(text), f"it must be between {float(LEAST_PER_S):f}/s and {most}", EXAMPLES["rate"])
    return float(value)


def parse_duration(text: str) -> float:
    """`500ms`, `3s`, `2m`, `1h`, `1m30s` → seconds ≥ 0. Raises UsageError, also for a number without a unit."""
    parts = [match[0] for match in _SPLIT.finditer(text)] if _SEVERAL.fullmatch(text.strip()) else [text]
    total_s, above_s = Fraction(0), Fraction(MOST_S)
    for part in parts:
        number, unit_s = _parse(text, DURATIONS_S, "time", part)
        if unit_s >= above_s:
            raise UsageError(quoted(text), "its units go from large to small, each once", EXAMPLES["time"])
        total_s, above_s = total_s + number * unit_s, unit_s
    if total_s > MOST_S:
        raise UsageError(quoted(text), f"it is too long (at most {MOST_S}s, 31 years)", EXAMPLES["time"])
    return float(total_s)


def parse_size(text: str) -> int:
    """`64KiB`, `1.5MiB` → bytes ≥ 0. Raises UsageError."""
    number, unit_bytes = _parse(text, SIZES_BYTES, "size")
    return int(number * unit_bytes)


def size_meant(text: str) -> str:
    """The size that a text means if its unit is written in another way: 32GiB for `32GB`; empty: it is no size."""
    found = _SPLIT.fullmatch(text.strip())
    unit = _unit_meant(found[2], SIZES_BYTES) if found else ""
    return f"{found[1]}{unit}" if found and unit else ""


def format_count(value: int) -> str:
    return f"{value:,}"


def format_things(count: int, thing: str) -> str:
    """`1 message`, `2 messages`, `2 processes`, `2 entries`."""
    if count == 1:
        return f"1 {thing}"
    end = "es" if thing.endswith("s") else "ies" if thing.endswith("ry") else "s"
    return f"{format_count(count)} {thing.removesuffix('y') if end == 'ies' else thing}{end}"


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


def _parse(text: str, table: Mapping[str, Fraction], what: str, part: str | None = None) -> tuple[Fraction, Fraction]:
    """(number, its unit), of the whole text or the part that has the number. Raises UsageError.

    what: a key of EXAMPLES
    """
    compact = (text if part is None else part).strip().replace(",", "").replace("_", "").replace("µ", "u")
    found = _SPLIT.fullmatch(compact)
    if not found:
        negative = _SPLIT.fullmatch(compact.removeprefix("-"))
        raise UsageError(quoted(text), "it is negative" if negative else f"it is not a {what}", EXAMPLES[what])
    if len(text) > MOST_CHARACTERS:  # also because int() refuses texts of 4,300 digits
        raise UsageError(quoted(text), "it has too many digits", EXAMPLES[what])
    digits, unit = found.groups()
    if unit in table:
        return Fraction(digits), table[unit]
    if not unit:
        several = ", ".join(f"{digits}{name}" for name in table)
        raise UsageError(quoted(text), "it has no unit", f"Write one of {several}.")
    meant = _unit_meant(unit, table)
    do = f"Write {digits}{meant}." if meant else f"Units are {', '.join(filter(None, table))}."
    raise UsageError(quoted(text), f"a {what} has no unit {unit!r}", do)


def _unit_meant(unit: str, table: Mapping[str, Fraction]) -> str:
    """The unit of the table that is meant by another spelling; empty: none is."""
    return next((name for name in table if unit.lower() in SPELLINGS.get(name, ()) and unit != name), "")


def _format(value: float, table: Mapping[str, Fraction], smallest: str) -> str:
    unit = smallest
    for name, scale in table.items():
        if value >= float(scale) * (FROM.get(name, 1) - 0.0005):  # what would round up to 1 is 1
            unit = name
    scaled = value / float(table[unit])
    digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    number = f"{scaled:,.{digits}f}"
    return f"{number.rstrip('0').rstrip('.') if digits else number} {unit.replace('us', 'µs')}"
