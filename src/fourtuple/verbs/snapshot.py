"""`snapshot`: write what this host says now to a file, once or as a recording."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.answers import of_one_namespace
from fourtuple.core.snapshot.coding import encode
from fourtuple.core.snapshot.frames import Frame, framed, frames_of
from fourtuple.core.snapshot.records import Snapshot
from fourtuple.core.units import format_duration, format_size, quoted
from fourtuple.store.input import read_file
from fourtuple.verbs.hosts import MOST_BYTES
from fourtuple.verbs.output import write_output

SPARE = 1.25  # a recording is rewritten when it is so much longer than it is to be
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # not on every system
HEAD_BYTES = len(framed(0.0, b""))


@dataclass(frozen=True, slots=True)
class RecordedMoment:
    """What a recorder has just written.

    size_bytes, moments: of the whole file
    cpu_share:           the recorder's use of one CPU since the first moment; None: this is the first
    """

    snapshot: Snapshot
    frame_bytes: int
    size_bytes: int
    moments: int
    cpu_share: float | None


def take(*, arguments: bool = False, netns: str | None = None) -> Snapshot:
    """What this host says now, as far as this user may see it.

    arguments: with the command lines of processes
    netns:     only this namespace (NAME, PID or `net:[…]`) and the processes in it; None: all

    Raises UsageError if there is no such namespace, CannotError or OSError if the host does not tell.
    """
    from fourtuple.verbs.sweep import sweep

    found = sweep(arguments=arguments, attributed=True)
    return found if netns is None else of_one_namespace(found, netns)


def save(snapshot: Snapshot, file: str) -> int:
    """Write a snapshot to a file → its bytes. Raises UsageError."""
    content = encode(snapshot)
    write_output(Path(file), content)
    return len(content)


def record(
    file: str, *, keep_s: float, most_bytes: int, read: Callable[[], Snapshot] = take
) -> Iterator[RecordedMoment]:
    """Append a snapshot to a recording at each request, and yield what was written.

    keep_s, most_bytes: older moments are dropped, and the oldest ones of a file that would be too long
    read:               takes a snapshot

    A file that exists is continued after its last whole moment. Whoever reads it meanwhile, or after this process was
    killed, finds every moment that was written whole: moments are appended, and dropped by writing a new file in place
    of the old one. Raises UsageError.
    """
    path = Path(os.path.realpath(file))
    frames = _existing(file)
    began_s, used_s, is_first = 0.0, 0.0, True
    while True:
        snapshot = read()
        frame = framed(snapshot.at_s, encode(snapshot))
        size = frames[-1].stop if frames else 0
        is_long = size + len(frame) > most_bytes or bool(frames and frames[0].at_s < snapshot.at_s - keep_s * SPARE)
        if is_first or is_long:
            kept = _kept(frames, snapshot.at_s - keep_s, most_bytes - len(frame))
            before = path.read_bytes()[kept[0].start - HEAD_BYTES : size] if kept else b""
            write_output(path, before + frame)
            frames = frames_of(before + frame)
        else:
            with open(os.open(path, os.O_WRONLY | os.O_APPEND | NOFOLLOW), "ab") as recording:
                recording.write(frame)
            frames = [*frames, Frame(snapshot.at_s, size + HEAD_BYTES, size + len(frame))]
        share = None if is_first else (_cpu_s() - used_s) / max(1e-9, time.monotonic() - began_s)
        if is_first:  # it takes longer than the others, and an interval follows it
            began_s, used_s, is_first = time.monotonic(), _cpu_s(), False
        yield RecordedMoment(snapshot, len(frame), frames[-1].stop, len(frames), share)


def check_recording(every_s: float, keep_s: float, most_bytes: int) -> None:
    """Raises UsageError for a recording that would hold one moment at most, or more than can be read."""
    if keep_s < every_s:
        raise UsageError(f"--keep {format_duration(keep_s)}", f"it is less than --every {format_duration(every_s)}")
    if most_bytes > MOST_BYTES:
        raise UsageError(f"--most-bytes {format_size(most_bytes)}", f"at most {format_size(MOST_BYTES)} can be read")


def _existing(file: str) -> list[Frame]:
    """The moments of a recording that is to be continued; none if there is no file. Raises UsageError for others."""
    if not os.path.lexists(file):
        return []
    content = read_file(file, MOST_BYTES, f"the recording {quoted(file)}")
    frames = frames_of(content)
    if content and not frames:
        raise UsageError(f"the recording {quoted(file)}", "this file is something else", "Name another file.")
    return frames


def _kept(frames: Sequence[Frame], since_s: float, most_bytes: int) -> list[Frame]:
    """The newest frames that are not too old and together not too long."""
    end = frames[-1].stop if frames else 0
    return [frame for frame in frames if frame.at_s >= since_s and end - frame.start + HEAD_BYTES <= most_bytes]


def _cpu_s() -> float:
    """CPU time that this process and its children have used."""
    return sum(os.times()[:4])
