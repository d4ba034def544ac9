"""The first sentence of an answer that a snapshot gave: whose it is, and of when."""

from fourtuple.core.snapshot.host import Origin
from fourtuple.faces.text.lines import wrapped

ROOT = 0


def origin_lines(origin: Origin | None) -> list[str]:
    """Such as `From web1.snapshot: web1, 2026-01-02 03:04:05 UTC, Linux 6.1.0, seen by root, net:[4026531840]`.

    None: nothing to say, the answer is about this host, now.
    """
    return list(wrapped("", f"From {origin.source}: {host_of_origin(origin)}")) if origin else []


def host_of_origin(origin: Origin) -> str:
    """The host, the time and who saw it."""
    time = origin.time.replace("T", " ").partition(".")[0].partition("+")[0]
    by = "" if origin.uid is None else "seen by root" if origin.uid == ROOT else f"seen by user {origin.uid}"
    parts = [
        origin.host or "another host",
        f"{time} UTC" if time else "at an unknown time",
        f"Linux {origin.kernel}" if origin.kernel else "",
        by,
        origin.netns,
    ]
    return ", ".join(filter(None, parts))
