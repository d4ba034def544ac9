"""The examples of a page of Markdown: where each one stands, what makes it, and what it shows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = "```"
PLAIN = "plain"
_MARK = re.compile(r"<!-- (example|screen): (\S+?)(, slow)? -->")
_PROMPT = re.compile(r"\$ |# ")
# A shell that is begun in the block, and into which the commands after `# ` are typed.
_INNER = re.compile(r"fourtuple lab .*-- sh$")


@dataclass(frozen=True, slots=True)
class Step:
    """A command as it is typed, with its prompt, and the lines that are shown below it; a screen has no command."""

    prompt: str
    command: str
    shown: tuple[str, ...]

    @property
    def typed(self) -> list[str]:
        """The lines of the command."""
        return (self.prompt + self.command).split("\n") if self.command else []


@dataclass(frozen=True, slots=True)
class Example:
    """A fenced block without a language.

    line:   where its text begins, from 1
    place:  what is there before its commands (places.py)
    slow:   only `make examples` makes it
    screen: the golden screen that it shows instead; empty: none
    steps:  its commands; empty: nothing says what makes it
    """

    page: Path
    line: int
    place: str
    slow: bool
    screen: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """Its page and what makes it, as tests and the list of those that are not made name it."""
        what = self.screen or (self.steps[0].command if self.steps else f"line {self.line}")
        return f"{self.page.relative_to(REPOSITORY)}: {what}"


def examples(page: Path) -> Iterator[Example]:
    """The examples of a page, from its top."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith(FENCE)]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        if lines[begin] != FENCE:
            continue
        text = tuple(lines[begin + 1 : end])
        mark = _MARK.fullmatch(lines[begin - 1])
        kind, name, slow = mark.groups() if mark else ("example", PLAIN, None)
        steps = tuple(_steps(text))
        if kind == "screen":
            yield Example(page, begin + 2, PLAIN, False, name, steps or (Step("", "", text),))
        else:
            yield Example(page, begin + 2, name, bool(slow), "", steps)


def _steps(lines: Sequence[str]) -> Iterator[Step]:
    prompt, command, shown, is_inner = "", "", list[str](), False
    for line in lines:
        if command.endswith("\\"):
            command += f"\n{line}"
        elif _PROMPT.match(line) and (is_inner or line.startswith("$")):
            if command:
                yield Step(prompt, command, tuple(shown))
            prompt, command, shown = line[:2], line[2:], []
            is_inner = bool(_INNER.match(command)) or (is_inner and prompt == "# ")
        else:
            shown.append(line)
    if command:
        yield Step(prompt, command, tuple(shown))


def text_of(steps: Iterable[Step]) -> list[str]:
    """The lines of a block with these steps."""
    return [line for step in steps for line in (*step.typed, *step.shown)]


def renew(page: Path, blocks: Mapping[Example, Sequence[Step]]) -> bool:
    """Write the page with the new steps of these examples → has it changed?"""
    before = page.read_text(encoding="utf-8")
    lines = before.splitlines()
    for example in sorted(blocks, key=lambda each: -each.line):
        begin = example.line - 1
        lines[begin : begin + len(text_of(example.steps))] = text_of(blocks[example])
    after = "\n".join(lines) + "\n"
    if after != before:
        page.write_text(after, encoding="utf-8")
    return after != before
