"""Results as JSON: what was tried in which kernel and when; a part that is tried again replaces its former result."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fourtuple.core.decoding import from_json
from tests.kernels.available import Way
from tests.kernels.findings import Came, Finding


@dataclass(frozen=True, slots=True)
class Tried:
    """One part that was tried in one kernel.

    kernel:  its name, as the user types it; of an own binary: `own:` and the version
    version: of the kernel, such as 6.1.176, or that of Debian's package
    date:    the day, as 2026-11-28
    seconds: of the whole part, with booting
    """

    kernel: str
    way: Way
    version: str
    date: str
    part: str
    seconds: int
    findings: tuple[Finding, ...]

    def count(self, came: Came) -> int:
        return sum(finding.came is came for finding in self.findings)

    @property
    def counts(self) -> str:
        """Such as `11 right, 1 wrong`; what is 0 is left out, except for `right`."""
        words = [f"{self.count(came)} {came}" for came in Came if self.count(came) or came is Came.RIGHT]
        return ", ".join(words)


def read_results(file: Path) -> list[Tried]:
    """The results in this file; none if there is no file. Raises ValueError."""
    return from_json(file.read_bytes(), list[Tried]) if file.exists() else []


def write_results(file: Path, results: Sequence[Tried]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def merged(old: Iterable[Tried], new: Iterable[Tried]) -> list[Tried]:
    """The newest result of each part in each kernel, in the order of their names."""
    latest = {(tried.kernel, tried.part): tried for tried in [*old, *new]}
    return [latest[key] for key in sorted(latest)]


def parse_findings(text: bytes) -> list[Finding]:
    """Lines of JSON as a guest writes them; a last line that is cut off is left out."""
    lines = text.split(b"\n")[:-1]
    return [from_json(line, Finding) for line in lines]
