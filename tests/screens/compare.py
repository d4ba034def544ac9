"""Screens of `compare`: two runs of one machine, of two machines, and with --anyway."""

from typing import Any

from fourtuple.core.runs.compare import Comparison, compare
from fourtuple.core.runs.stored import StoredRun
from fourtuple.faces.text.compare import compare_lines
from tests.faces.text.test_runs import kept
from tests.made import hold_record, serve_record
from tests.made_fleet import fleet_record, kept_fleet
from tests.screens.hold import FLEET_GONE


def _hold(**found: Any) -> StoredRun:
    return kept("hold", hold_record(rate_per_s=40_000.0), **found)


def _other(**found: Any) -> StoredRun:
    record = hold_record(held=900, rate_per_s=20_000.0, lost=3, elapsed_s=10.0, closing_s=0.2, failed={"ETIMEDOUT": 97})
    return kept("hold", record, **found)


def other_machine(*, anyway: bool = False) -> Comparison:
    return compare(_hold(), _other(machine="fedcba9876543210", host="elsewhere", cpus=4), anyway=anyway)


def same_machine() -> Comparison:
    return compare(_hold(), _other(sysctls={"net.core.somaxconn": "128", "net.ipv4.ip_local_port_range": "1024 65535"}))


def _lines(comparison: Comparison) -> str:
    return "\n".join(compare_lines(comparison))


def _talked() -> Comparison:
    told = {"requests": 4000, "answers": 3990, "answers_per_s": 798.0, "answer_us": hold_record().connect_us}
    return compare(_hold(), kept("hold", hold_record(**told)))


SCREENS = {
    "same-machine": lambda: _lines(same_machine()),
    "other-machine": lambda: _lines(other_machine()),
    "anyway": lambda: _lines(other_machine(anyway=True)),
    "answers": lambda: _lines(_talked()),
    "fleets": lambda: _lines(
        compare(kept_fleet(fleet_record(), count=20), kept_fleet(fleet_record(*FLEET_GONE.machines[:3]), 3, count=20))
    ),
    "servers": lambda: _lines(
        compare(
            kept("serve", serve_record(), wanted=None),
            kept("serve", serve_record(accepted=500, rss_bytes=2**20, listen_overflows=3), wanted=None),
        )
    ),
}
