"""Requirements for a run, such as `lost<=1%, p99<50ms, rate>=10k/s`: which value of the record, and which bound."""

import errno
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import MappingProxyType, UnionType
from typing import Any, get_args, get_type_hints

from fourtuple.core.backports import Self
from fourtuple.core.counters import COUNTERS
from fourtuple.core.errors import UsageError
from fourtuple.core.nearest import choose_from
from fourtuple.core.record import dataclass
from fourtuple.core.runs.outcome import Outcome, Required
from fourtuple.core.units import (
    format_duration,
    format_rate,
    format_size,
    parse_count,
    parse_duration,
    parse_rate,
    parse_size,
)

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
     "=": operator.eq}
)  # fmt: skip
ALL, NONE = "all", "none"  # values: as many as wanted, and 0
_SYNTAX = re.compile(rf"([A-Za-z_][\w.]*)\s*({'|'.join(OPERATORS)})\s*(\S.*)")


class BoundUnit(Enum):
    """What a value of a record is, by its type and the end of its name."""

    COUNT = "count"
    RATE = "rate"
    SECONDS = "s"
    MICROSECONDS = "us"
    BYTES = "bytes"
    FLAG = "flag"
    TEXT = "text"


_ENDS = {"_per_s": BoundUnit.RATE, "_s": BoundUnit.SECONDS, "_us": BoundUnit.MICROSECONDS, "_bytes": BoundUnit.BYTES}
_PERCENTILES = ("p50", "p90", "p99", "max")
# Short names; the first of these values that the record has is meant.
_SHORT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "accepted": ("census_at_end.accepted",),
        **{each: (f"answer_us.{each}", f"last_us.{each}", f"connect_us.{each}") for each in _PERCENTILES},
    }
)


# Mappings of a record whose values can be named one by one; what is not in them is 0.
_ERRNOS = frozenset({*errno.errorcode.values(), "FIN"})
_KEYS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(("failed", "lost_by", "reconnect_failed"), _ERRNOS),
        "moved": frozenset(counter.name for counter in COUNTERS),
    }
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A bound for one value of a record.

    name:  as typed
    bound: operator and value, as typed
    paths: where the value is in the record: the first that is not None counts
    """

    name: str
    bound: str
    paths: tuple[str, ...]
    unit: BoundUnit
    compare: Callable[[Any, Any], bool]
    value: str

    @classmethod
    def of(cls, text: str, kind: type[Any]) -> Self:
        """The requirement in `text` for records of this kind. Raises UsageError."""
        found = _SYNTAX.fullmatch(text.strip())
        if not found:
            raise UsageError(
                f"--require {text.strip()!r}", "it is not NAME, an operator and a value", "Write 'lost<=1%'."
            )
        name, sign, value = found.groups()
        units = units_of(kind)
        paths = _paths(name, units)
        if not paths:
            do = f"{choose_from(name, sorted({*_SHORT, *units}))} The record that --json prints has all names.".lstrip()
            raise UsageError(f"--require {name}", "the record has no value of this name", do)
        made = cls(name, f"{sign}{value}", paths, _unit(paths[0], units), OPERATORS[sign], value)
        try:
            made.limit(1)
        except UsageError as error:
            raise UsageError(f"--require {text.strip()}", f"{error.wanted}: {error.stopped_by}", error.do) from None
        return made

    @property
    def is_of_end(self) -> bool:
        """Whether it is about how many connections are open at the end."""
        return self.paths[0].startswith(("open_at_end", "census_at_end"))

    @property
    def is_of_connections(self) -> bool:
        """Whether it is about how many connections there were, so that it may want none."""
        return self.is_of_end or self.paths[0].partition(".")[0] in ("held", "completed", "failed", "census")

    def limit(self, whole: int) -> float | str:
        """The value to compare with, in the record's unit.

        whole: what 100 % and `all` are: the number of connections wanted, accepted by a server, or due in a churn

        Raises UsageError.
        """
        text = self.value
        match self.unit:
            case BoundUnit.COUNT:
                if text.endswith("%"):
                    return self._share() * whole
                return whole if text == ALL else 0 if text == NONE else parse_count(text)
            case BoundUnit.RATE:
                return parse_rate(text)
            case BoundUnit.SECONDS:
                return parse_duration(text)
            case BoundUnit.MICROSECONDS:
                return parse_duration(text) * 1e6
            case BoundUnit.BYTES:
                return parse_size(text)
            case BoundUnit.FLAG:
                if text.lower() not in ("true", "false"):
                    raise UsageError(f"--require {self.name}{self.bound}", f"{self.name} is true or false")
                return text.lower() == "true"
            case BoundUnit.TEXT:
                return text

    def _share(self) -> float:
        number = self.value[:-1].strip()
        if not number.replace(".", "", 1).isdecimal():
            raise UsageError(f"--require {self.name}{self.bound}", f"{self.value!r} is not a percentage", "Write 1%.")
        return float(number) / 100

    def judged(self, record: Any, whole: int) -> Required:
        """Whether the record meets it; a value that is not known meets nothing."""
        got = next((value for path in self.paths if (value := _value(record, path)) is not None), None)
        met = got is not None and self.compare(got, self.limit(whole))
        return Required(self.name, self.bound, got, met)


def parse_requirements(texts: Iterable[str], kind: type[Any]) -> tuple[Requirement, ...]:
    """The requirements in these texts, each a list with commas.

    kind: HoldRecord, ServeRecord or ChurnRecord

    Raises UsageError, also for a name that records of this kind do not have.
    """
    parts = (part for text in texts for part in re.split(r",(?!\d)", text))  # `1,000` is one number
    return tuple(Requirement.of(part, kind) for part in parts)


def got_words(required: Required, kind: type[Any]) -> str:
    """The value that was compared, in words. kind: of the record"""
    if required.got is None:
        return "not known"
    if isinstance(required.got, str | bool):
        return str(required.got)
    units = units_of(kind)
    match _unit(next(iter(_paths(required.name, units)), ""), units):
        case BoundUnit.MICROSECONDS:
            return format_duration(required.got / 1e6)
        case BoundUnit.SECONDS:
            return format_duration(required.got)
        case BoundUnit.BYTES:
            return format_size(required.got)
        case BoundUnit.RATE:
            return format_rate(required.got)
    return f"{required.got:,.10g}"  # a stored count is read as a float


def units_of(kind: type[Any], prefix: str = "") -> dict[str, BoundUnit]:
    """Every value of a record of this kind that can be named: dotted name → unit."""
    found: dict[str, BoundUnit] = {}
    hints = get_type_hints(kind)
    for field in fields(kind):
        hint = hints[field.name]
        options = [each for each in get_args(hint) if each is not type(None)]
        base = options[0] if isinstance(hint, UnionType) and options else hint
        name = f"{prefix}{field.name}"
        if base is Outcome:
            continue
        if isinstance(base, type) and is_dataclass(base):
            found |= units_of(base, f"{name}.")
        elif base is bool:
            found[name] = BoundUnit.FLAG
        elif isinstance(base, type) and issubclass(base, str):
            found[name] = BoundUnit.TEXT
        else:  # numbers; of mappings the sum, of tuples how many there are
            found[name] = _number_unit(name)
    return found


def _number_unit(name: str) -> BoundUnit:
    above, _, leaf = name.rpartition(".")
    named = above if leaf in _PERCENTILES else leaf
    return next((unit for end, unit in _ENDS.items() if named.endswith(end)), BoundUnit.COUNT)


def _paths(name: str, units: Mapping[str, BoundUnit]) -> tuple[str, ...]:
    """Where the value of this name is: by its short name, its name, its name without the unit, or as part of a sum."""
    if short := tuple(path for path in _SHORT.get(name, ()) if path in units):
        return short
    if name in units:
        return (name,)
    if with_unit := [f"{name}{end}" for end in _ENDS if f"{name}{end}" in units]:
        return (with_unit[0],)
    whole, _, key = name.rpartition(".")
    return (name,) if whole in units and key in _KEYS.get(whole, ()) else ()


def _unit(path: str, units: Mapping[str, BoundUnit]) -> BoundUnit:
    return units.get(path, BoundUnit.COUNT)


def _value(record: Any, path: str) -> Any:
    for name in path.split("."):
        if record is None:
            return None
        record = record.get(name, 0) if isinstance(record, Mapping) else getattr(record, name)
    if isinstance(record, Mapping):
        return sum(record.values())
    return len(record) if isinstance(record, tuple) else record
