"""What `snapshot` says: whose snapshot it is, what it holds, where it is; and of a recording, each moment."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Protocol

from fourtuple.core.snapshot.answers import origin_of_all
from fourtuple.core.snapshot.records import Snapshot
from fourtuple.core.units import format_count, format_duration, format_size
from fourtuple.core.visible import shell_words
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.origin import host_of_origin


class RecordedLine(Protocol):
    """One moment of a recording, as verbs/snapshot.py reports it."""

    @property
    def snapshot(self) -> Snapshot: ...
    @property
    def frame_bytes(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def moments(self) -> int: ...
    @property
    def cpu_share(self) -> float | None: ...


def snapshot_lines(snapshot: Snapshot, file: str, size_bytes: int) -> Iterator[str]:
    """Yield three sentences, and one for each thing that the user could not see."""
    yield from wrapped("", host_of_origin(origin_of_all(snapshot)))
    spaces = snapshot.namespaces.values()
    listening = sum(len(each.listeners) for each in spaces)
    counts = [
        _some(len(snapshot.namespaces), "network namespace"),
        _some(_sockets(snapshot), "TCP socket"),
        _some(listening, "listener"),
        _some(len(snapshot.processes), "process", "processes"),
    ]
    yield from wrapped("", f"{', '.join(counts[:-1])} and {counts[-1]}")
    asked = "" if file == "-" else f" · fourtuple limits --from {shell_words([file])}"
    yield f"{format_size(size_bytes)} in {'standard output' if file == '-' else file}{asked}"
    for sentence in snapshot.unseen:
        yield from wrapped("not seen: ", sentence)


def recording_line(file: str, every_s: float, keep_s: float) -> str:
    return f"recording to {file} every {format_duration(every_s)}, keeping {format_duration(keep_s)}; Ctrl-C ends it"


def moment_line(written: RecordedLine) -> str:
    """Such as `10:32:05 UTC  3,412 sockets  41 KiB  360 moments, 4.1 MiB  0.4 % of one CPU`."""
    time = datetime.fromtimestamp(written.snapshot.at_s, timezone.utc).strftime("%H:%M:%S UTC")
    parts: Sequence[str] = (
        time,
        _some(_sockets(written.snapshot), "socket"),
        format_size(written.frame_bytes),
        f"{_some(written.moments, 'moment')}, {format_size(written.size_bytes)}",
        *([] if written.cpu_share is None else [f"{100 * written.cpu_share:.1f} % of one CPU"]),
    )
    return "  ".join(parts)


def recorded_lines(file: str, last: RecordedLine | None) -> Iterator[str]:
    """Where the recording is, and how one asks for a moment of it. last: the last moment; None: none was recorded"""
    if last is None:
        return
    time = datetime.fromtimestamp(math.ceil(last.snapshot.at_s), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    yield from wrapped("", f"recorded to {file}; for example, ask:")
    yield f"fourtuple census --from {shell_words([file])} --at {time}"


def _sockets(snapshot: Snapshot) -> int:
    return sum(len(each.sockets) for each in snapshot.namespaces.values())


def _some(count: int, one: str, many: str = "") -> str:
    return f"{format_count(count)} {one if count == 1 else many or f'{one}s'}"
