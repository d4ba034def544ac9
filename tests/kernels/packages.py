"""Debian's packages of any suite: found, downloaded and unpacked into a cache, without touching this machine's apt.

apt has a list of sources, package lists and a cache of our own, so neither root nor a change of the host is needed.
The mirror is the one that this machine's own apt uses.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fourtuple.core.errors import CannotError

UPDATE_S, DOWNLOAD_S = 300, 900
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Suite:
    """The packages of one suite.

    cache:   the folder for lists and downloads
    mirrors: label of a repository → its address, as `mirrors()` gives them
    """

    name: str
    cache: Path
    mirrors: Mapping[str, str]

    def update(self) -> None:
        """Fetch the suite's package list. Raises CannotError."""
        label = "Debian-Security" if self.name.endswith("-security") else "Debian"
        if label not in self.mirrors:
            raise CannotError(f"packages of {self.name}", f"this machine's apt has no repository {label}")
        (self.cache / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        self._sources.write_text(f"deb {self.mirrors[label]} {self.name} main\n")
        self._run("apt-get", "-q", "update", limit_s=UPDATE_S)

    def find(self, pattern: str) -> list[Package]:
        """The packages whose whole name matches, the newest first."""
        listed = self._run("apt-cache", "search", "--names-only", f"^{pattern}$")
        names = [line.split()[0] for line in listed.splitlines()]
        if not names:
            return []
        return newest_first(parse_madison(self._run("apt-cache", "madison", *names)))

    def needs(self, package: Package) -> list[str]:
        """The names of the packages that it depends on."""
        shown = self._run("apt-cache", "show", f"{package.name}={package.version}")
        return parse_depends(shown)

    def unpack(self, packages: Sequence[Package], into: Path) -> None:
        """Download the packages and unpack them into one folder."""
        downloads = self.cache / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            self._run(
                "apt-get", "-q", "download", f"{package.name}={package.version}", limit_s=DOWNLOAD_S, cwd=downloads
            )
            # apt writes the version's colons and tildes in its own way into the name
            files = sorted(downloads.glob(f"{package.name}_*.deb"), key=lambda file: file.stat().st_mtime)
            _run(["dpkg-deb", "-x", str(files[-1]), str(into)])
            for file in files:
                file.unlink()

    @property
    def _sources(self) -> Path:
        return self.cache / f"{self.name}.list"

    def _run(self, program: str, *arguments: str, limit_s: float = 60, cwd: Path | None = None) -> str:
        settings = {
            "Dir::Etc::sourcelist": str(self._sources),
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": str(self.cache / "lists"),
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "APT::Get::List-Cleanup": "0",
            "APT::Architecture": "amd64",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "1",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        return _run([program, *options, *arguments], limit_s, cwd)


def mirrors() -> dict[str, str]:
    """Label of each of Debian's repositories that this machine's apt uses → its address. Raises CannotError."""
    if not shutil.which("apt-get"):
        raise CannotError("the packages of Debian", "there is no apt-get", "Name the kernel's binary instead.")
    form = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    return parse_targets(_run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]))


def parse_targets(text: str) -> dict[str, str]:
    """Lines of ORIGIN|LABEL|ADDRESS → label → address, of Debian only."""
    rows = [line.split("|") for line in text.splitlines()]
    return {label: address for origin, label, address in rows if origin == "Debian" and label}


def parse_madison(text: str) -> list[Package]:
    """What `apt-cache madison` prints: name | version | source."""
    rows = [[field.strip() for field in line.split("|")] for line in text.splitlines() if line.count("|") >= 2]
    return list(dict.fromkeys(Package(name, version) for name, version, *_ in rows))


def parse_depends(text: str) -> list[str]:
    """What `apt-cache show` prints → the names in its line Depends, the first of alternatives."""
    depends = next((line for line in text.splitlines() if line.startswith("Depends:")), "Depends:")
    return [match[1] for field in depends.partition(":")[2].split(",") if (match := re.match(r"\s*(\S+)", field))]


def newest_first(packages: Iterable[Package]) -> list[Package]:
    """By the numbers in their versions, a ~ before everything else."""

    def key(package: Package) -> list[tuple[int, int, str]]:
        words = re.findall(r"\d+|~[^\d]*|[^\d~]+", package.version)
        ranks = [(1, int(word), "") if word.isdigit() else (-1 if word[0] == "~" else 1, 0, word) for word in words]
        return [*ranks, (0, 0, "")]  # the end comes after a ~, and before all else

    return sorted(packages, key=key, reverse=True)


def _run(command: Sequence[str], limit_s: float = 60, cwd: Path | None = None) -> str:
    """The standard output of the command. Raises CannotError if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False, cwd=cwd)
    except subprocess.TimeoutExpired:
        raise CannotError(f"`{command[0]} {command[-1]}`", f"it took more than {limit_s:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise CannotError(f"`{command[0]} {command[-1]}`", f"{last} (exit code {done.returncode})")
    return done.stdout
