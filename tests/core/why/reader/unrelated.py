"""Log lines that have nothing to do with a limit of connections, with numbers that look as if they had.

In a template, `{n}` is a number of up to five digits, `{s}` of two, `{h}` eight hexadecimal digits, `{e}` the number of
an errno.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

TEMPLATES = Path(__file__).with_name("data") / "unrelated.txt"
VARIANTS = 4
ERRNOS = (11, 12, 13, 23, 24, 28, 98, 99, 101, 104, 105, 110, 111, 113)


def lines() -> Iterator[str]:
    """Yield more than 500 lines, always the same."""
    random = Random(16)  # noqa: S311 - no secret
    for template in TEMPLATES.read_text().splitlines():
        for _ in range(VARIANTS):
            yield template.format(
                n=random.randrange(100, 65536),
                s=random.randrange(10, 60),
                h=f"{random.getrandbits(32):08x}",
                e=random.choice(ERRNOS),
            )
