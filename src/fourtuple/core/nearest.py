"""Which known name a misspelt one probably means."""

from collections.abc import Iterable

MOST_LISTED = 24  # names: more than these are not read
LEAST = 0.6  # of difflib: `htps` has 0.89 of `https`, `lte` 0.57 of `late`


def nearest(text: str, known: Iterable[str], least: float = LEAST) -> str:
    """The known name that is most like the text, in capitals or not; empty: none is like it."""
    return next(iter(nearest_few(text, known, 1, least)), "")


def nearest_few(text: str, known: Iterable[str], count: int, least: float = LEAST) -> list[str]:
    """The known names that are like the text, the most similar first."""
    from difflib import get_close_matches

    names = {name.casefold(): name for name in known}
    return [names[found] for found in get_close_matches(text.casefold(), names, count, least)]


def choose_from(text: str, known: Iterable[str]) -> str:
    """What to do about a name that is not known: `Did you mean late? Known: late, plain.`

    Of many names only those that are like it; empty: none is.
    """
    names = [*known]
    if len(names) > MOST_LISTED:
        few = nearest_few(text, names, 4)
        return f"Did you mean {', '.join(few[:-1])}{' or ' * (len(few) > 1)}{few[-1]}?" if few else ""
    near = nearest(text, names)
    return f"{f'Did you mean {near}? ' if near else ''}Known: {', '.join(names)}."
