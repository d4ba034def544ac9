"""Run tests and count what came of them: `python -m tests.kernels.collector FOLDER FILE`, where FILE gets the JSON.

It is a process of its own: pytest must be the first to import what it tests.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Collector:
    """A plugin of pytest that keeps what came of each test: how many, why they were skipped, and each failure."""

    came: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            self.came["skipped"] += 1
            self.reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1
        elif report.failed:
            self.came["failed"] += 1
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed[report.nodeid] = (crash.message if crash else str(report.longrepr))[:300]
        elif report.when == "call":
            self.came["passed"] += 1


def main(folder: str, file: Path) -> None:
    collector = Collector()
    pytest.main(["-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", folder], plugins=[collector])
    file.write_text(json.dumps(vars(collector)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
