"""Which known name a misspelt one probably means."""

from collections.abc import Iterable

LEAST = 0.6  # of difflib: `htps` has 0.89 of `https`, `lte` 0.57 of `late`


def nearest(text: str, known: Iterable[str], least: float = LEAST) -> str:
    """The known name that is most like the text, in capitals or not; empty: none is like it."""
    from difflib import get_close_matches

    names = {name.casefold(): name for name in known}
    return next((names[found] for found in get_close_matches(text.casefold(), names, 1, least)), "")


def choose_from(text: str, known: Iterable[str]) -> str:
    """What to do about a name that is not known: `Did you mean late? Known: late, plain.`"""
    names = [*known]
    near = nearest(text, names)
    return f"{f'Did you mean {near}? ' if near else ''}Known: {', '.join(names)}."
