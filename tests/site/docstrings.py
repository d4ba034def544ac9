"""Docstrings of this project as Markdown: `name: meaning` lines are a list. An extension of griffe (zensical.toml)."""

import re
from typing import Any

import griffe

_FIELD = re.compile(r"(\w+(?:, \w+)*):\s+(.*)")


class Fields(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = listed(obj.docstring.value)


def listed(text: str) -> str:
    """The text with a list for each paragraph that says what names mean."""
    return "\n\n".join(_paragraph(each) for each in text.split("\n\n"))


def _paragraph(text: str) -> str:
    lines = text.split("\n")
    if not _FIELD.match(lines[0]):
        return text
    return "\n".join(_FIELD.sub(r"- `\1`: \2", line) if _FIELD.match(line) else f"  {line.strip()}" for line in lines)
