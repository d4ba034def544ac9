"""What was requested of a run, option by option: names and texts that a stored run keeps, and that two runs compare.

The records of the options are walked, so an option that is added is kept and compared without another line anywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.expectation import shown
from fourtuple.core.talk.session import hidden
from fourtuple.core.units import format_count, format_duration, format_rate, parse_duration, parse_rate

NOTHING = "–"
NAMES = {"destinations": "to", "where": "to", "sources": "from", "hold_s": "for", "run_s": "for", "serve_s": "for"}
GROUPS = ("session", "script")  # records whose fields have names that say enough


def requested(options: Any) -> dict[str, str]:
    """Every option of a run (HoldOptions, ChurnOptions, ServeOptions) as text, by name: `mqtt keepalive`: `5 s`.

    Values that differ have different texts, apart from passwords, which are not kept.
    """
    return dict(_walked("", options))


def _walked(group: str, record: Any) -> Iterator[tuple[str, str]]:
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value) and type(value).__str__ is object.__str__:
            yield from _walked("" if field.name in GROUPS else f"{group}{field.name} ", value)
        else:
            yield f"{group}{_name(field.name)}", _text(field.name, value)


def _name(field: str) -> str:
    """The name of a field without its unit."""
    return NAMES.get(field) or field.removesuffix("_s").removesuffix("_per").replace("_", " ")


def _text(field: str, value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None | "" | () | b"":
            return NOTHING
        case int() | float() if field.endswith("_per_s"):
            return _exact(float(value), format_rate, parse_rate, "/s") if value else NOTHING
        case int() | float() if field.endswith("_s"):
            return _exact(float(value), format_duration, parse_duration, " s") if value else "0 s"
        case int():
            return format_count(value)
        case range():
            return f"{value[0]}" if len(value) == 1 else f"{value[0]}-{value[-1]}"
        case tuple():
            return ", ".join(": ".join(each) if isinstance(each, tuple) else _text(field, each) for each in value)
        case str():
            return "…" if field == "password" else _utf8(hidden(value) if "://" in value else value)
        case bytes():
            return _whole(shown(value), value)
    return _whole(str(value), value)


def _whole(text: str, value: Any) -> str:
    """The text, with a hash where it is only the beginning of a long message."""
    if "…" in text:
        from hashlib import sha256

        text = f"{text} ({sha256(repr(value).encode()).hexdigest()[:8]})"
    return _utf8(text)


def _utf8(text: str) -> str:
    """The text with an escape for what cannot be stored: bytes of a path that are not UTF-8 (PEP 383)."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _exact(value: float, form: Callable[[float], str], parse: Callable[[str], float], unit: str) -> str:
    """The value as it is shown elsewhere, and with all of its digits where that has been rounded."""
    text = form(value)
    try:
        is_exact = parse(text) == value
    except UsageError:
        is_exact = False
    return text if is_exact else f"{value:,.15g}{unit}"
