"""Reading output that is made for people: numbers, and the few words that tests wait for."""

import re

# First words of the lines on standard error that announce that a program is ready, see verbs/background.py.
READY = {"serve": "listening", "hold": "holding", "export": "metrics on"}
# The first word of a line of --log for a new connection.
EVENT = "connected"
# The same for a connection that a server accepted, and for one that was lost.
ACCEPTED = "accepted"
LOST = "lost"
# Text below the rows of the live census: the sort order (faces/text/census.py) and the key that ends it.
QUIT = "q quit"
LAST_COLUMN = "full in"
# Where memory is short, as in Memory.where.
ON_HOST = "on this host"


def in_cgroup(path: str) -> str:
    return f"in the cgroup {path}"


def sorted_by(name: str) -> str:
    return f"by {name}"


def numbers(text: str) -> list[int]:
    """The separate numbers of the text in order; `1,500` is one, `127.0.0.1:8000` has none."""
    return [int(found.replace(",", "")) for found in re.findall(r"(?<![\w.:/-])\d[\d,]*(?![\w/-]|:\S|[.,]\d)", text)]


def joined(text: str) -> str:
    """The text without line breaks and indents."""
    return " ".join(text.split())
