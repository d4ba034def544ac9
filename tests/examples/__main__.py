"""Make the examples of README.md and docs/ again: `make examples`, or `python -m tests.examples docs/hold.md …`.

Read the diff: which lines are left out (`…`) is chosen anew where words have changed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.examples.blocks import PAGES, examples, renew
from tests.examples.making import ELSEWHERE, made


def main(pages: Sequence[Path], wanted: str) -> None:
    for page in pages:
        blocks = {}
        for example in examples(page.resolve()):
            if example.name not in ELSEWHERE and wanted in example.name:
                blocks[example], is_alike = made(example)
                print(f"{'as before' if is_alike else 'CHANGED'}  {example.name}", flush=True)
        renew(page, blocks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.examples", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES)
    parser.add_argument("--only", default="", metavar="TEXT", help="only examples with this text in their names")
    arguments = parser.parse_args()
    main(arguments.pages, arguments.only)
