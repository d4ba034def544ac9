"""What a running program's own settings say: its configuration, found by its command line, or its answer if asked."""

import posixpath
from collections.abc import Iterator
from dataclasses import field

from fourtuple.core.errors import CannotError, FourtupleError
from fourtuple.core.record import dataclass
from fourtuple.core.why.catalogue.configuration import (
    ProgramConfiguration,
    ProgramSetting,
    files_named,
    included,
    setting_of,
    settings_of_arguments,
    statements,
)
from fourtuple.core.why.catalogue.rows import configurations, program_of
from fourtuple.kernel.proc.root import matching, path_within, read_arguments, read_name, read_parent, working_directory
from fourtuple.store.input import read_file
from fourtuple.verbs.program_questions import ask_program

MOST_FILES = 64  # that a program's configuration may consist of
MOST_BYTES = 1 << 20  # of one file
MOST_SETTINGS = 200
MOST_PARENTS = 3  # from a worker up to the process that was started


def settings_of(pid: int, program: str = "", ask: bool = False) -> tuple[ProgramSetting, ...]:
    """The limits that a running program has set itself, as its configuration has them now.

    A file may have changed since the program read it. Never raises for a process that has ended, or odd configuration.

    program: its name in the catalogue; empty: by the name of the process
    ask:     also ask the program itself, by its own protocol, over 127.0.0.1 or a Unix socket; its answers replace
             what files say
    """
    program = program or program_of(read_name(pid))
    found: dict[tuple[str, str], ProgramSetting] = {}
    configuration = configurations().get(program)
    if configuration is not None:
        found = _configured(_first_of(pid), configuration)
    if ask:
        for answer in ask_program(_first_of(pid), program):
            if answer.value:
                found = {place: setting for place, setting in found.items() if setting.key != answer.key}
            found[answer.key, "asked"] = answer
    return tuple(found.values())[:MOST_SETTINGS]


def _first_of(pid: int) -> int:
    """The process that was started: the parent of workers of the same name, which has the command line."""
    name = read_name(pid)
    for _ in range(MOST_PARENTS):
        parent = read_parent(pid)
        if not parent or not name or read_name(parent) != name:
            break
        pid = parent
    return pid


@dataclass(slots=True)
class Reader:
    """Reads the files of one program, each once."""

    pid: int
    configuration: ProgramConfiguration
    read: set[str] = field(default_factory=set)
    refused: list[ProgramSetting] = field(default_factory=list)

    def settings(self, path: str) -> Iterator[tuple[str, ProgramSetting]]:
        """(Section, setting) of a file and of those that it includes, in the order in which the program reads them."""
        if path in self.read or len(self.read) >= MOST_FILES:
            return
        self.read.add(path)
        for statement in statements(self._text(path), self.configuration):
            for pattern in included(statement, self.configuration):
                for file in matching(self.pid, posixpath.join(posixpath.dirname(path), pattern)):
                    yield from self.settings(file)
            if setting := setting_of(statement, self.configuration):
                key, value = setting
                section = f", {statement.section}" if statement.section else ""
                yield statement.section, ProgramSetting(key, value, f"{path}:{statement.line}{section}")

    def _text(self, path: str) -> str:
        try:
            content = read_file(path_within(self.pid, path), MOST_BYTES, path)
        except CannotError as error:
            key = next(iter(self.configuration.directives.values()))
            self.refused.append(ProgramSetting(key, "", f"{path}: {error.stopped_by}"))
            return ""
        except (FourtupleError, OSError):  # it is missing, no file, or too long
            return ""
        return content.decode(errors="replace")


def _configured(pid: int, configuration: ProgramConfiguration) -> dict[tuple[str, str], ProgramSetting]:
    """The settings by (key, section): the last one of each counts, and one of the command line before all."""
    arguments = read_arguments(pid)
    if len(arguments) == 1:  # a program that has changed its command line writes one text with spaces
        arguments = tuple(arguments[0].split())
    reader = Reader(pid, configuration)
    found: dict[tuple[str, str], ProgramSetting] = {}
    for file in files_named(arguments, configuration):
        for section, setting in reader.settings(posixpath.join(working_directory(pid), file)):
            found[setting.key, section] = setting
    for key, value in settings_of_arguments(arguments, configuration):
        found = {place: setting for place, setting in found.items() if place[0] != key}
        found[key, ""] = ProgramSetting(key, value, "its command line")
    for setting in reader.refused:
        found.setdefault((setting.key, ""), setting)
    return found
