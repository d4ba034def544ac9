"""The pages of the site: docs/, the texts beside it, and pages that are made from the tables of the code."""

import posixpath
import re
from collections.abc import Iterator, Mapping

import fourtuple
from tests.conftest import REPOSITORY
from tests.site.commands import commands
from tests.site.numbers import numbers

# Texts outside of docs/ that are pages, too.
BESIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "bench/RESULTS.md": "measurements.md",
}
_LINK = re.compile(r"(?<!!)\[((?:[^\][]|\[[^\]]*\])*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
_PICTURE = re.compile(r"(!\[[^\]]*\]\()docs/")


def pages() -> Mapping[str, bytes]:
    """By its path in the site's source, what each file holds."""
    docs = REPOSITORY / "docs"
    files = [file for file in sorted(docs.rglob("*")) if file.is_file()]
    found = {str(file.relative_to(docs)): file.read_bytes() for file in files}
    for source, name in (*BESIDE.items(), *((f"docs/{name}", name) for name in found if name.endswith(".md"))):
        found[name] = moved((REPOSITORY / source).read_text(encoding="utf-8"), source, name).encode()
    made = {"commands.md": commands(), "numbers.md": numbers(), "api.md": "\n".join(_api())}
    return found | {name: text.encode() for name, text in made.items()}


def moved(text: str, source: str, name: str) -> str:
    """The text of a file of the repository as the page `name`: links lead to pages; others are left out."""

    def link(match: re.Match[str]) -> str:
        words, to, part = match.groups(default="")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), to))
        page = BESIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
        return f"[{words}]({posixpath.relpath(page, posixpath.dirname(name) or '.')}{part})" if page else words

    return _PICTURE.sub(r"\1", _LINK.sub(link, text))


def _api() -> Iterator[str]:
    yield "# Python API\n"
    yield "The public names of the package `fourtuple`. [The library](library.md) has examples.\n"
    for name in fourtuple.__all__:
        yield f"::: {getattr(fourtuple, name).__module__}.{name}\n"
