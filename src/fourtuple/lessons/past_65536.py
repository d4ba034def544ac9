"""More connections between one client address and one server address than there are port numbers."""

import contextlib
import resource

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.cost import memory_lacking, workers_needed
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.sockets.ends import Ends
from fourtuple.core.sockets.table import four_tuples
from fourtuple.core.units import format_count
from fourtuple.lessons.stage import HERE, Demonstration, Stage, Steps
from fourtuple.verbs.background import serving
from fourtuple.verbs.hold import hold
from fourtuple.verbs.lab import own_world, port_facts, port_range_is_quick, set_port_range
from fourtuple.verbs.loop import best_loop

CLAIM = "one client address holds more than 65,536 connections to one server address"

CONNECTIONS, FEWER = 100_000, 70_000
MANY_PROCESSES = 60  # at each end; if more would be needed, fewer connections are opened
MOST = 100  # processes, or rings, at each end: RLIMIT_MEMLOCK usually allows a user two hundred rings
WIDE = range(10_000, 65_536)  # the server's ports are below
FIRST_SERVER_PORT = 8000
SHOWN = 4


def show(stage: Stage) -> Steps:
    wanted, note = _wanted(stage)
    if stage.private:
        with contextlib.suppress(OSError):  # read-only /proc/sys: then the range stays as it is
            set_port_range(WIDE)
    # Past half of the range connect() is slow without IP_LOCAL_PORT_RANGE; without it, use twice as many server ports.
    usable = port_facts().automatic_ports.size * (98 if port_range_is_quick() else 49) // 100
    server_ports = -(-wanted // usable)
    first = stage.port(FIRST_SERVER_PORT, server_ports)
    server = f"{HERE}:{first}-{first + server_ports - 1}"
    with serving(server):
        run = hold(wanted, [server], hold_s=0.5)
        record, ends = yield from stage.held(run, lambda: stage.ends(server))
    port, sharing = ends.busiest_client_port
    processes = f"{record.workers} {'process' if record.workers == 1 else 'processes'}"
    return Demonstration(
        did=f"open {format_count(wanted)} connections from {HERE} to {server}; opened in {record.elapsed_s:.1f} s, by"
        f" {processes} with at most {format_count(_most_files())} open files",
        predicted={
            "connections held": wanted,
            "accepted by the server": wanted,
            "distinct 4-tuples": wanted,
            "found at both ends": wanted,
            "plan, engine and kernel agree": True,
        },
        observed={
            "connections held": record.held,
            "accepted by the server": ends.accepted,
            "distinct 4-tuples": ends.distinct,
            "found at both ends": ends.mirrored,
            "plan, engine and kernel agree": record.agree,
        },
        evidence={
            "server ports in use": len(ends.server_ports),
            f"the {sharing} connections on client port {port}": _sharing(ends, port),
            "counted by": record.census.by,
            "failed": [f"{name}: {format_count(count)}" for name, count in record.failed.items()],
            "connections per second": round(record.rate_per_s),
            "opened in (seconds)": round(record.elapsed_s, 2),
        },
        note=note,
    )


def _wanted(stage: Stage) -> tuple[int, str]:
    """How many to open, and a note: as requested, or as processes permit; never more than memory allows."""
    most_files = _most_files()
    wanted, note = stage.connections or CONNECTIONS, ""
    rings = best_loop(wanted) is LoopName.RING
    files = format_count(most_files)
    if not rings and stage.connections is None and workers_needed(wanted, most_files) > MANY_PROCESSES:
        wanted = FEWER
        note = f"only {format_count(FEWER)} connections: with {files} open files per process, more would take too long"
    needed = workers_needed(wanted, most_files)
    if needed > MOST and stage.connections is None:
        what = "rings" if rings else "processes"
        raise CannotError(
            f"{format_count(wanted)} connections",
            f"ulimit -n {most_files}: {format_count(needed)} {what} would be needed at each end",
            "Raise ulimit -n.",
        )
    if lacking := memory_lacking(wanted, own_world().free_memory, both_ends=True):
        raise CannotError(f"{format_count(wanted)} connections", lacking, "Ask for fewer (--connections).")
    return wanted, note


def _most_files() -> int:
    """How many a process may have: its hard limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _sharing(ends: Ends, port: int) -> list[str]:
    shown = sorted(map(str, four_tuples(ends.client[ends.client["local_port"] == port])))
    return shown if len(shown) <= SHOWN else [*shown[:SHOWN], f"… {len(shown) - SHOWN} more"]
