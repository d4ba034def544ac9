"""The catalogue as one file: `make docs` writes core/why/catalogue/programs.json from the files of programs/."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fourtuple.core.why.catalogue import rows
from fourtuple.core.why.catalogue.configuration import ProgramConfiguration
from tests.toml import tomllib

FOLDER = Path(rows.__file__).with_name("programs")
OUTPUT = FOLDER.with_suffix(".json")


def written(folder: Path = FOLDER) -> bytes:
    """What the file is to hold, a line for each limit, so that a change shows as itself. Raises ValueError."""
    return b"[\n" + b",\n".join(_file(path) for path in sorted(folder.glob("*.toml"))) + b"\n]\n"


def parse_file(text: str) -> rows.CatalogueFile:
    """A file of programs/. Raises ValueError, which says what is wrong, for any other text."""
    try:
        file = msgspec.convert(tomllib.loads(text), rows.CatalogueFile)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for row in file.limit:
        if row.program != file.program:
            raise ValueError(f"the key {row.key} does not begin with {file.program}")
    config = file.config or ProgramConfiguration()
    settable = {*config.directives.values(), *config.arguments.values(), *config.titles}
    if unknown := settable - {row.key for row in file.limit}:
        raise ValueError(f"the configuration sets what has no row: {', '.join(sorted(unknown))}")
    return file


def _file(path: Path) -> bytes:
    try:
        file = parse_file(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    return b"{" + b",\n".join(_members(file)) + b"}"


def _members(file: rows.CatalogueFile) -> Iterator[bytes]:
    for name, value in msgspec.to_builtins(file).items():
        encoded = [msgspec.json.encode(each) for each in (value if name == "limit" else (value,))]
        yield b'"%s":' % name.encode() + (b"[\n" + b",\n".join(encoded) + b"\n]" if name == "limit" else encoded[0])


if __name__ == "__main__":
    OUTPUT.write_bytes(written())
