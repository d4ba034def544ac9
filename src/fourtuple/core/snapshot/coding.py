"""A snapshot as the content of a file and back: JSON, compressed with zstd.

The format has a version. Keys that this version does not know are ignored, so that a newer program can add some. A file
comes from anywhere: its size, decompressed and expanded, has bounds (docs/snapshot.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import field, fields
from typing import Any

import msgspec
import zstandard

from fourtuple.core.decoding import from_json
from fourtuple.core.limits.time_wait import TIME_WAIT_MS
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.fold import (
    MOST_SOCKETS,
    ListenerRow,
    SocketGroup,
    expand,
    expand_listeners,
    fold,
    fold_listeners,
    parse_port_ranges,
)
from fourtuple.core.snapshot.records import VERSION, HostNamespace, Snapshot
from fourtuple.core.space.ranges import Ranges

MAGIC = b"\x28\xb5\x2f\xfd"  # of a zstd frame (RFC 8878, 3.1.1)
MOST_JSON_BYTES = 2**28
LEVEL = 3
TABLES = frozenset({"sockets", "listeners", "socket_pids", "listener_pids"})


@dataclass(frozen=True, eq=False)
class WrittenNamespace(HostNamespace):
    """A namespace as a file has it, with groups instead of tables."""

    groups: tuple[SocketGroup, ...] = ()
    listening: tuple[ListenerRow, ...] = ()


@dataclass(frozen=True, eq=False)
class WrittenSnapshot(Snapshot):
    """A snapshot as a file has it."""

    fourtuple_snapshot: int = 0
    namespaces: Mapping[str, WrittenNamespace] = field(default_factory=dict)


class _Head(msgspec.Struct):
    fourtuple_snapshot: int


def encode(snapshot: Snapshot) -> bytes:
    """The content of a file: one zstd frame, which has a checksum."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(to_json(snapshot))


def decode(content: bytes, source: str = "") -> Snapshot:
    """The snapshot in the content of a file, compressed or plain JSON. source: of the snapshot, such as the file's name

    Raises ValueError, which says what is wrong.
    """
    return from_snapshot_json(decompressed(content) if content.startswith(MAGIC) else content, source)


def decompressed(frame: bytes) -> bytes:
    """The content of one zstd frame. Raises ValueError."""
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= MOST_JSON_BYTES:
            raise ValueError(f"its size is not known, or more than {MOST_JSON_BYTES:,} bytes")
        return zstandard.ZstdDecompressor().decompress(frame, MOST_JSON_BYTES)
    except zstandard.ZstdError as error:
        raise ValueError(f"it is damaged: {error}") from None


def to_json(snapshot: Snapshot) -> bytes:
    """The snapshot as JSON, its sockets folded."""
    unseen = list(snapshot.unseen)
    written = {each.name: getattr(snapshot, each.name) for each in fields(Snapshot)}
    written["namespaces"] = {name: dict(_written(namespace, unseen)) for name, namespace in snapshot.namespaces.items()}
    written["unseen"] = unseen
    del written["version"], written["source"], written["netns"]
    return msgspec.json.encode({"fourtuple_snapshot": VERSION} | written, enc_hook=_plain)


def from_snapshot_json(text: bytes, source: str = "") -> Snapshot:
    """The snapshot that the JSON has. Raises ValueError."""
    try:
        version = from_json(text, _Head).fourtuple_snapshot
    except ValueError as error:
        raise ValueError(f"it is no snapshot: {error}") from None
    if version > VERSION:
        raise ValueError(f"it has version {version}; this program reads version {VERSION}")
    written = from_json(text, WrittenSnapshot, _made)
    left, namespaces = MOST_SOCKETS, {}
    for name, each in written.namespaces.items():
        namespaces[name] = _expanded(each)
        if (left := left - len(namespaces[name].sockets)) < 0:
            raise ValueError(f"it has more than {MOST_SOCKETS:,} sockets")
    values = {each.name: getattr(written, each.name) for each in fields(Snapshot)}
    return Snapshot(**values | {"namespaces": namespaces, "version": version, "source": source, "netns": ""})


def _written(namespace: HostNamespace, unseen: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a namespace; what its groups do not tell is added to `unseen`."""
    for each in fields(HostNamespace):
        if each.name not in TABLES:
            yield each.name, getattr(namespace, each.name)
    delay_ms = namespace.ports.tw_reuse_delay_ms if namespace.ports else TIME_WAIT_MS
    groups, lost = fold(namespace.sockets, namespace.socket_pids, namespace.listeners, delay_ms)
    listening, lost_listeners = fold_listeners(namespace.listeners, namespace.listener_pids)
    unseen += [f"{namespace.name or namespace.netns}: {sentence}" for sentence in (*lost, *lost_listeners)]
    yield "groups", groups
    yield "listening", listening


def _expanded(written: WrittenNamespace) -> HostNamespace:
    """Raises ValueError."""
    sockets, socket_pids = expand(written.groups)
    listeners, listener_pids = expand_listeners(written.listening)
    values = {each.name: getattr(written, each.name) for each in fields(HostNamespace)}
    tables = {"sockets": sockets, "listeners": listeners, "socket_pids": socket_pids, "listener_pids": listener_pids}
    return HostNamespace(**values | tables)


def _plain(value: object) -> object:
    """What msgspec does not write by itself (its enc_hook): ranges as text, `1024-2000,3000`."""
    if isinstance(value, range):
        return str(Ranges([value]))
    if isinstance(value, Ranges):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value)} is no part of a snapshot")


def _made(kind: type, value: object) -> object:
    """The opposite (its dec_hook). Raises ValueError."""
    if kind not in (range, Ranges) or not isinstance(value, str):
        raise ValueError("it is no range of ports")
    if not value:
        return Ranges([]) if kind is Ranges else range(0)
    ports = parse_port_ranges(value)
    if kind is range:
        return range(int(ports[0]), int(ports[-1]) + 1)
    return Ranges(range(port, port + 1) for port in ports.tolist())
