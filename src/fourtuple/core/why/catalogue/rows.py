"""Which limits programs, libraries and clouds set themselves: the rows of the catalogue, read once from its file.

A file of programs/ is TOML: `program` and its rows, `[[limit]]`. Texts of `logs` and `shows` are patterns as `Phrase`
has them: lower case, `*` for any characters, `#` for a number. `make docs` writes all of them to programs.json, which
is what is read here, as it takes a tenth of the time; a test compares the two.
"""

import functools
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from fourtuple.core.why.catalogue.configuration import ProgramConfiguration
from fourtuple.core.why.findings import Phrase


class StopsAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A number of connections at which clients of a program stop.

    number: the number of connections that there can be
    when:   the condition under which it is this number, such as `1,024 open files`; empty: by default
    """

    number: int
    when: str = ""


class CatalogueRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One limit that a program, a library or a cloud sets.

    key:        PROGRAM.SETTING, such as `redis.maxclients`
    title:      what is limited, such as `clients of Redis`
    logs:       what the program itself logs when the limit is reached; empty: it logs nothing
    shows:      what its clients log or show then, whichever program they are
    counters:   counters of metrics or of `ethtool -S` that report it where they are not 0, in lower case
    error:      the name of the errno that these texts stand for, such as `EAGAIN`; empty: none
    call:       the system call that they imply; empty: none
    default:    its value where nothing is configured, and what that depends on
    stops_at:   the numbers of connections at which clients stop with it
    configured: the file and directive, or the option, that sets it
    runtime:    the command that shows it, or what counts against it, while the program runs; empty: there is none
    seen:       what a client sees when the limit is reached
    do:         what removes it
    costs:      the price of doing so, and what it endangers
    source:     the title of the documentation, or the source file, that says so
    address:    where that is, as a URL; empty: the source names a file or manual page of the version below
    version:    the version that was tried or read
    tried:      whether the limit was reached with the real program (tests/catalogue); False: it was read about
    """

    key: str
    title: str
    logs: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()
    error: str = ""
    call: str = ""
    default: str
    stops_at: tuple[StopsAt, ...] = ()
    configured: str
    runtime: str = ""
    seen: str
    do: str
    costs: str
    source: str
    address: str = ""
    version: str
    tried: bool = False

    @property
    def program(self) -> str:
        """The program, library or cloud whose limit it is, in lower case."""
        return self.key.partition(".")[0]

    def phrases(self) -> tuple[Phrase, ...]:
        """The texts by which the reader recognises the limit."""
        logged = [(text, self.program) for text in (*self.logs, *self._counted())] + [(text, "") for text in self.shows]
        return tuple(
            Phrase(text, error=self.error, call=self.call, limit=self.key, program=program) for text, program in logged
        )

    def _counted(self) -> tuple[str, ...]:
        """The texts of counters that are not 0: `name: 7`, `name 7`, `name=7`, `name{labels} 7`."""
        forms = (": ", " ", "=", "*} ")
        return tuple(f"*{name}{form}{digit}*" for name in self.counters for form in forms for digit in range(1, 10))


class CatalogueFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file: a program and its limits.

    program: its name, as logs have it, in lower case
    names:   the names of its processes (/proc/PID/comm), where they differ from `program`
    limit:   its rows
    config:  how it is configured, where its own setting can be read; None: it cannot
    """

    program: str
    limit: tuple[CatalogueRow, ...]
    names: tuple[str, ...] = ()
    config: ProgramConfiguration | None = None


@functools.cache
def files() -> tuple[CatalogueFile, ...]:
    """All files of the catalogue, by name; read when first asked for."""
    content = pkgutil.get_data("fourtuple.core.why.catalogue", "programs.json") or b""
    return msgspec.json.decode(content, type=tuple[CatalogueFile, ...])


@functools.cache
def catalogue() -> Mapping[str, CatalogueRow]:
    """All rows, by key."""
    return MappingProxyType({row.key: row for file in files() for row in file.limit})


@functools.cache
def phrases() -> tuple[Phrase, ...]:
    """The texts of all rows, for the reader."""
    return tuple(phrase for row in catalogue().values() for phrase in row.phrases())


@functools.cache
def stops_at() -> Mapping[int, tuple[CatalogueRow, ...]]:
    """The rows with which clients stop at a number of connections, by that number."""
    found: dict[int, list[CatalogueRow]] = {}
    for row in catalogue().values():
        for number in sorted({stop.number for stop in row.stops_at}):
            found.setdefault(number, []).append(row)
    return MappingProxyType({number: tuple(rows) for number, rows in found.items()})


@functools.cache
def configurations() -> Mapping[str, ProgramConfiguration]:
    """How programs are configured, by program; only those whose setting can be read."""
    return MappingProxyType({file.program: file.config for file in files() if file.config})


@functools.cache
def program_of(name: str) -> str:
    """The program of the catalogue to which a process of this name (/proc/PID/comm) belongs; empty: to none."""
    return next((file.program for file in files() if name in (file.program, *file.names)), "")
