"""A recording: snapshots of one host, one after the other in one file, and which of them a time means.

Each snapshot is a zstd frame. Before it stands a skippable frame (RFC 8878, 3.1.2) with its time and length, so that a
moment is found without decompressing all of them; `zstd -d` passes over it. A last frame that was cut is no frame yet.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from fourtuple.core.backports import parse_iso
from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.coding import MAGIC
from fourtuple.core.units import parse_duration, quoted

SKIPPABLE = 0x184D2A54  # one of the 16 magic numbers of skippable frames
_HEAD = struct.Struct("<IIdQ")  # magic number, length of what follows, seconds since the epoch, bytes of the frame


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a snapshot stands in a recording: [start, stop), without its head."""

    at_s: float
    start: int
    stop: int


def framed(at_s: float, frame: bytes) -> bytes:
    """The frame of a snapshot with its head, to be appended to a recording."""
    return _HEAD.pack(SKIPPABLE, _HEAD.size - 8, at_s, len(frame)) + frame


def frames_of(content: bytes | memoryview) -> list[Frame]:
    """The whole frames of a recording, up to the first that is damaged; empty: it is no recording."""
    found, place = [], 0
    while place + _HEAD.size <= len(content):
        magic, length, at_s, size = _HEAD.unpack_from(content, place)
        start = place + _HEAD.size
        stop = start + size
        is_whole = stop <= len(content) and content[start : start + len(MAGIC)] == MAGIC
        if magic != SKIPPABLE or length != _HEAD.size - 8 or not is_whole:
            break
        found.append(Frame(at_s, start, stop))
        place = stop
    return found


def at_or_before(frames: Sequence[Frame], time: str | None) -> Frame:
    """The frame of this moment, or the last one before it. time: as parse_time takes it; None: the last of all

    Raises UsageError if all are later.
    """
    if time is None:
        return frames[-1]
    first, last = frames[0].at_s, frames[-1].at_s
    wanted_s = parse_time(time, last)
    number = bisect_right([frame.at_s for frame in frames], wanted_s)
    if not number:
        span = f"it was recorded from {_text(first)} to {_text(last)}"
        raise UsageError(f"--at {quoted(time)}", span)
    return frames[number - 1]


def parse_time(text: str, last_s: float) -> float:
    """Seconds since the epoch for `10:32` or `10:32:05` (UTC), ISO 8601 (UTC unless it has an offset), or `-5m`.

    last_s: the last moment there is; `-5m` is so long before it, and 10:32 the last such time that is not after it

    Raises UsageError.
    """
    if text.startswith("-"):
        try:
            return last_s - parse_duration(text[1:])
        except UsageError as error:
            raise UsageError(f"--at {quoted(text)}", error.stopped_by, error.do) from None
    last = datetime.fromtimestamp(last_s, timezone.utc)
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
            clock = [int(part) for part in text.split(":")]
            moment = last.replace(hour=clock[0], minute=clock[1], second=(clock[2] if len(clock) > 2 else 0))
            moment = moment.replace(microsecond=0)
            return (moment if moment <= last else moment - timedelta(days=1)).timestamp()
        moment = parse_iso(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"--at {quoted(text)}", "it is no time", "Write 10:32, 2026-01-02T10:32:05, or -5m before the last."
        ) from None


def _text(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, timezone.utc).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
