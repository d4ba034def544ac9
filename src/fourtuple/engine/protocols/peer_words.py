"""What a peer itself says about the end of a session, as far as it can be the same for every connection."""

LETTERS = 60  # more of them are left out


def own_words(text: str) -> str:
    """`: no such room`, to be put behind a reason; empty if the text is long, empty, or not printable.

    A word with a digit in it can differ between connections; `…` takes its place.
    """
    said = " ".join("…" if any(map(str.isdigit, word)) else word for word in text.split(" "))
    return f": {said}" if text.isprintable() and 0 < len(said) <= LETTERS else ""
