"""What `make dist` makes: whole, the same bytes each time, and what an installation of it finds."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, need

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")  # to a file, relative to the page


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    need(listed.returncode == 0, "git, and the repository")
    return [name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).exists()]


def build(folder: Path, umask: int) -> dict[str, bytes]:
    """A copy of the repository, with files of now, and what is built there."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", "out"],
        cwd=folder, check=True, capture_output=True, umask=umask, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
    )  # fmt: skip
    return {file.name: file.read_bytes() for file in (folder / "out").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel."""
    for module in ("build", "hatchling", "twine"):
        need(importlib.util.find_spec(module), f"{module} (make installs it)")
    first, second = (tmp_path_factory.mktemp("copy") for _ in range(2))
    made = build(first, 0o022)

    assert build(second, 0o077) == made, "two builds differ"
    return first / "out"


def test_twine_finds_nothing_to_complain_about(built: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout


def test_the_sdist_has_every_file_of_the_repository(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert names - {"PKG-INFO"} == set(tracked())


def test_the_wheel_has_the_package_and_what_belongs_to_it(built: Path) -> None:
    """Man pages, completion, the documentation with its links, the licence."""
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
    ours = set(tracked())
    package = {name.removeprefix("src/") for name in ours if name.startswith("src/")}
    (data,) = {name.partition("/data/")[0] for name in names if "/data/" in name}
    shared = {name.removeprefix(f"{data}/data/") for name in names if name.startswith(data)}
    documentation = {f"share/doc/fourtuple/{name}" for name in ours if name.startswith(("docs/", "contrib/"))}

    assert {name for name in names if name.startswith("fourtuple/")} == package
    assert {name for name in ours if name.startswith("share/")} | documentation <= shared
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


def test_links_of_the_documentation_lead_to_files_that_the_wheel_has(built: Path) -> None:
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        pages = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".md")}
        names = set(archive.namelist())
    ends = {
        (name, os.path.normpath(f"{os.path.dirname(name)}/{end}"))
        for name in pages
        for end in LINK.findall(pages[name])
    }

    assert ends
    assert [
        (name, end) for name, end in ends if not any(each == end or each.startswith(f"{end}/") for each in names)
    ] == []
