"""What tests read out of text that is made for people: numbers, and the few words that programs wait for."""

import re

# Words on standard error by which a test knows that it may go on: the product's own, see verbs/background.py.
READY = {"serve": "listening", "hold": "holding", "export": "metrics on"}
# The first word of a line of --log, for a connection that is there.
EVENT = "connected"
# … for one that a server has accepted, and for one that is gone.
ACCEPTED = "accepted"
LOST = "lost"
# What the live census draws below its rows: how it is sorted (names in faces/text/census.py), and how it ends.
QUIT = "q quit"
LAST_COLUMN = "full in"
# Where memory is short, as Memory.where has it.
ON_HOST = "on this host"


def in_cgroup(path: str) -> str:
    return f"in the cgroup {path}"


def sorted_by(name: str) -> str:
    return f"by {name}"


def numbers(text: str) -> list[int]:
    """Those that stand alone, in their order; `1,500` is one, of `127.0.0.1:8000` none is."""
    return [int(found.replace(",", "")) for found in re.findall(r"(?<![\w.:/-])\d[\d,]*(?![\w/-]|:\S|[.,]\d)", text)]


def joined(text: str) -> str:
    """Without its line breaks and indents."""
    return " ".join(text.split())
