"""What a program's own configuration says about its limits: files and command lines, as statements, as settings.

One reader serves all programs; what differs between them (options that name the file, sections, directives) is data of
the catalogue, the table `[config]` of a program's file. Nothing here fails on odd text: it finds less.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from fourtuple.core.late import late_pattern
from fourtuple.core.record import dataclass

MOST_CHARACTERS = 200  # of a value
TOKEN = late_pattern(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};\n]|[^\s{};"'#][^\s{};"']*""")
ASSIGNMENT = late_pattern(r"([^\s=]+)\s*=\s*(.*)")


class ProgramConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a program is configured.

    options:    options of the command line that name its file, such as `-f`, or `-c config_file=`
    positional: whether an argument that is no option names it, too
    files:      where it is if no option names it; a relative path begins at the working directory of the process
    title:      a regular expression whose group is the file's name, where the process has changed its command line
    braces:     whether the file consists of `name values;` and `name { … }`, as nginx's does, instead of lines
    sections:   words that begin a section and stand in a line by themselves, such as `frontend`; `[name]` always does
    includes:   directives that name further files, in which `*` may stand for a part of the last name
    directives: the key of the row, by directive: `NAME`, `SECTION NAME`, or `NAME OPTION` for an option within a line
    arguments:  the key of the row, by the option of the command line that sets it
    titles:     a regular expression whose group is the value, by the key of the row, for a changed command line
    """

    options: tuple[str, ...] = ()
    positional: bool = False
    files: tuple[str, ...] = ()
    title: str = ""
    braces: bool = False
    sections: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    directives: Mapping[str, str] = {}
    arguments: Mapping[str, str] = {}
    titles: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class ProgramSetting:
    """The value of a limit of a running program.

    key:   the key of its row in the catalogue
    value: as the program has it; empty: it could not be read
    where: where it was found, such as `/etc/haproxy/haproxy.cfg:12, frontend web`, or why it could not be read
    """

    key: str
    value: str
    where: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A directive with its values: the section that it stands in (empty: none), its words, its line from 1."""

    section: str
    words: tuple[str, ...]
    line: int


def statements(text: str, configuration: ProgramConfiguration) -> Iterator[Statement]:
    """The statements of a file, in order."""
    yield from _braces(text) if configuration.braces else _lines(text, configuration.sections)


def setting_of(statement: Statement, configuration: ProgramConfiguration) -> tuple[str, str] | None:
    """The (key, value) that a statement sets; None: none of the catalogue."""
    name, *values = statement.words
    kind = statement.section.partition(" ")[0]
    for directive, key in configuration.directives.items():
        first, _, second = map(_plain, directive.partition(" "))
        if second and _plain(name) == first:
            value = _option(values, second)
        elif _plain(name) == (second or first) and (not second or _plain(kind) == first):
            value = " ".join(values)
        else:
            continue
        if value:
            return key, value[:MOST_CHARACTERS]
    return None


def included(statement: Statement, configuration: ProgramConfiguration) -> tuple[str, ...]:
    """The files that a statement includes, with `*` as it has it."""
    name, *values = statement.words
    wanted = {_plain(directive) for directive in configuration.includes}
    if _plain(name) not in wanted:
        return ()
    folder = "dir" in _plain(name)  # include_dir of Mosquitto, !includedir of MySQL
    return tuple(f"{value.rstrip('/')}/*" if folder else value for value in values)


def files_named(arguments: Sequence[str], configuration: ProgramConfiguration) -> tuple[str, ...]:
    """The files that a command line names; those of `files`, if it names none."""
    if configuration.title:
        found = re.search(configuration.title, " ".join(arguments))
        return (found[1],) if found else configuration.files
    named = [value for option in configuration.options for value in _values(arguments, option)]
    if not named and configuration.positional:
        named = [argument for argument in arguments[1:] if not argument.startswith("-")][-1:]
    return tuple(named) or configuration.files


def settings_of_arguments(arguments: Sequence[str], configuration: ProgramConfiguration) -> Iterator[tuple[str, str]]:
    """The (key, value) pairs that a command line itself sets, the last one valid."""
    for option, key in configuration.arguments.items():
        for value in _values(arguments, option):
            yield key, value[:MOST_CHARACTERS]
    for key, pattern in configuration.titles.items():
        found = re.search(pattern, " ".join(arguments))
        if found:
            yield key, found[1][:MOST_CHARACTERS]


def _lines(text: str, sections: Sequence[str]) -> Iterator[Statement]:
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if not line or line[0] in ";<":
            continue
        if line[0] == "[" and "]" in line:
            section = line[1 : line.index("]")].strip()
            continue
        assigned = ASSIGNMENT.fullmatch(line)
        words = tuple(word.strip("'\"") for word in (assigned.groups() if assigned else line.split()))
        if words[0] in sections:
            section = " ".join(words)
        yield Statement(section, words, number)


def _braces(text: str) -> Iterator[Statement]:
    open_sections: list[str] = []
    words: list[str] = []
    line = 1
    for part in TOKEN.findall(text):
        if part == "{":
            open_sections.append(" ".join(words))
        elif part == "}":
            del open_sections[-1:]
        elif part == ";" and words:
            yield Statement(open_sections[-1] if open_sections else "", tuple(words), line)
        elif part not in (";", "\n") and not part.startswith("#"):
            words.append(part.strip("'\""))
        if part in ("{", "}", ";"):
            words = []
        line += part.count("\n")


def _option(values: Sequence[str], name: str) -> str:
    """The value of an option within a line, as `maxconn 10` or `backlog=10`; empty: it is not there."""
    for value, following in pairwise((*values, "")):
        if _plain(value) == name:
            return following
        if _plain(value).startswith(f"{name}="):
            return value.partition("=")[2]
    return ""


def _values(arguments: Sequence[str], option: str) -> Iterator[str]:
    """The values of an option: `-c 5`, `-c5`, `--most 5`, `--most=5`, and `-c most=5` for the option `-c most=`."""
    flag, _, name = option.partition(" ")
    for argument, following in pairwise((*arguments, "")):
        if argument == flag:
            value = following
        elif argument.startswith(flag + "=") and flag.startswith("--"):
            value = argument[len(flag) + 1 :]
        elif argument.startswith(flag) and len(flag) == 2 and flag[1] != "-":
            value = argument[2:]
        else:
            continue
        if value.startswith(name) and value != name:
            yield value[len(name) :]


def _plain(name: str) -> str:
    """The name of a directive without what programs ignore in it: case, and `-` for `_`."""
    return name.lower().replace("-", "_")
