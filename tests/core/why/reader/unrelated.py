"""Log lines that have nothing to do with a limit of connections, with numbers that look as if they had.

In a template, `{n}` is a number of up to five digits, often one that is known for something else, `{s}` of two, `{h}`
eight hexadecimal digits, `{e}` the number of an errno.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

TEMPLATES = Path(__file__).with_name("data") / "unrelated.txt"
VARIANTS = 4
ERRNOS = (11, 12, 13, 23, 24, 28, 98, 99, 101, 104, 105, 110, 111, 113)
CODES = (10_013, 10_024, 10_048, 10_055, 10_060, 10_061)  # of Windows Sockets, which other numbers may equal
FAMILIAR = (64, 512, 1021, 1024, 4096, 16_384, 28_232, 65_535)


def lines() -> Iterator[str]:
    """Yield more than 500 lines, always the same."""
    random = Random(16)  # noqa: S311 - no secret
    for template in TEMPLATES.read_text().splitlines():
        for _ in range(VARIANTS):
            yield template.format(
                n=random.choice((random.randrange(100, 65536), random.choice(CODES + FAMILIAR))),
                s=random.randrange(10, 60),
                h=f"{random.getrandbits(32):08x}",
                e=random.choice(ERRNOS),
            )
