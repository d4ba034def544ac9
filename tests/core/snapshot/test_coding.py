"""A snapshot as the content of a file: what comes back, what a newer version may add, what a hostile file cannot do."""

import json
from dataclasses import fields, replace
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.limits.behaviours import BOUND_LISTED, Behaviour, KnownBy
from fourtuple.core.limits.facts import Memory, PortFacts
from fourtuple.core.snapshot import coding
from fourtuple.core.snapshot.coding import decode, encode, to_json
from fourtuple.core.snapshot.fold import Pids, expand, fold
from fourtuple.core.snapshot.records import (
    Cgroup,
    HostAddress,
    HostNamespace,
    HostProcess,
    HostRoute,
    Snapshot,
    UnixListener,
)
from fourtuple.core.sockets.table import SOCK_DIAG, Sockets
from fourtuple.core.space.ranges import Ranges
from tests.core.snapshot.tables import listeners, sockets

INIT = "net:[4026531840]"


def snapshot(table: tuple[Sockets, Pids] | None = None, listens: tuple[Sockets, Pids] | None = None) -> Snapshot:
    """A host with something in every field."""
    inside = HostNamespace(
        netns=INIT,
        name="blue",
        pid=1,
        cgroup="/a",
        ports=PortFacts(range(32768, 61000), Ranges([range(40_000, 40_002)]), tw_reuse=1),
        sysctls={"net.ipv4.tcp_tw_reuse": "1"},
        sockstat={"TCP.tw": 3},
        counters={"TcpExt.ListenDrops": 2},
        unlisted=1,
        tracked=True,
        neighbours=3,
        neighbours6=4,
        read_from=SOCK_DIAG,
        unix=(UnixListener("/run/x", 1, 2, 7),),
        udp_ports=(53, 5353),
        udp_pids={7: 2},
        addresses=(HostAddress("10.0.0.1", 24, "eth0", tentative=True),),
        routes=(HostRoute("0.0.0.0/0", "eth0", "10.0.0.1", 100),),
        routes6=5,
        conntrack={"tcp": 6},
        why_not={"memory.max": "root may"},
    )
    if table and listens:
        inside = replace(inside, sockets=table[0], socket_pids=table[1], listeners=listens[0], listener_pids=listens[1])
    return Snapshot(
        at_s=1_700_000_000.5,
        host="web1",
        kernel="6.1.0",
        uid=0,
        behaviours=(Behaviour(BOUND_LISTED, False, KnownBy.PROBE, "tried"),),
        cpus=8,
        memory_bytes=2**34,
        memory=Memory(2**33),
        files_in_use=1000,
        threads=300,
        sysctls={"fs.file-max": "1000"},
        counters={"softnet_stat.dropped": 1},
        inotify_instances={1000: 3},
        namespaces={INIT: inside},
        processes={7: HostProcess(7, "nginx", uid=0, cgroup="/a", netns=INIT, arguments=("nginx", "-g"))},
        cgroups={"/a": Cgroup("/a", service="nginx.service")},
        log=("nf_conntrack: table full",),
        unseen=("the files of 3 processes",),
    )


@given(sockets(), listeners())
@settings(max_examples=30)
def test_what_is_written_is_read(table: tuple[Sockets, Pids], listens: tuple[Sockets, Pids]) -> None:
    """Every field comes back; sockets come back as their groups expand."""
    before = snapshot(table, listens)
    after = decode(encode(before), "web1.snapshot")

    for each in fields(Snapshot):
        if each.name not in ("namespaces", "source"):
            assert getattr(after, each.name) == getattr(before, each.name), each.name
    assert after.source == "web1.snapshot"
    was, now = before.namespaces[INIT], after.namespaces[INIT]
    for each in fields(HostNamespace):
        if each.name not in coding.TABLES:
            assert getattr(now, each.name) == getattr(was, each.name), each.name
    expected, pids = expand(fold(*table, listens[0], 1000)[0])
    assert now.sockets.tolist() == expected.tolist()
    assert now.socket_pids.tolist() == pids.tolist()
    assert now.listeners["local_port"].tolist() == listens[0]["local_port"].tolist()


def test_json_that_is_not_compressed_is_read_too() -> None:
    """Whoever looks into a file with zstd -d can use what comes out."""
    assert decode(to_json(snapshot())).host == "web1"
    assert json.loads(zstandard.decompress(encode(snapshot())))["fourtuple_snapshot"] == 1


def changed(**other: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(to_json(snapshot())) | other)


def test_keys_that_are_unknown_are_ignored_and_keys_that_lack_are_unknown_values() -> None:
    """A newer program may add keys, an older one lacks some."""
    assert decode(changed(news={"a": 1})).host == "web1"
    assert decode(b'{"fourtuple_snapshot": 1, "at_s": 5, "namespaces": {"net:[1]": {"netns": "net:[1]", "more": 1}}}')


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no snapshot"),
        (b"{}", "no snapshot"),
        (b'{"fourtuple_plan": 1}', "no snapshot"),
        (b"[" * 100_000, "no snapshot"),
        (changed(fourtuple_snapshot=2), "version 2; this program reads version 1"),
        (changed(namespaces=[]), "Expected `object`"),
        (changed(namespaces={"x": {"netns": "x", "sockets": [1]}}), "range of ports"),
        (changed(namespaces={"x": {"netns": "x", "ports": {"port_range": "x", "reserved_ports": ""}}}), "range"),
        (changed(namespaces={"x": {"netns": "x", "listening": [{"local": "x", "local_port": 1}]}}), "IPv4"),
        (changed(namespaces={"x": {"netns": "x", "listening": [{"local": "::", "local_port": 70000}]}}), "port"),
        (encode(snapshot())[:-9], "damaged"),
        (zstandard.compress(b"\0" * (coding.MOST_JSON_BYTES + 1)), "size"),
        (coding.MAGIC + b"x", "damaged"),
    ],
)
def test_what_is_no_snapshot_is_said(content: bytes, says: str) -> None:
    """A file can hold anything; the answer is one sentence."""
    with pytest.raises(ValueError, match=says):
        decode(content)


def test_groups_of_all_namespaces_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "MOST_SOCKETS", 5)
    group = {"state": "ESTABLISHED", "local": "10.0.0.1", "local_ports": "1-3", "count": 3}
    namespaces = {name: {"netns": name, "groups": [group]} for name in "ab"}

    with pytest.raises(ValueError, match="more than 5 sockets"):
        decode(changed(namespaces=namespaces))


@given(st.binary(max_size=200), st.integers(0, 10**4))
def test_no_content_is_more_than_a_value_error(noise: bytes, place: int) -> None:
    """Bytes of a file that were changed give a snapshot or one error, compressed or not."""
    for whole in (encode(snapshot()), to_json(snapshot())):
        cut = place % len(whole)
        try:
            decode(whole[:cut] + noise + whole[cut + len(noise) :])
        except ValueError:
            continue


def test_no_arguments_and_no_addresses_of_remote_ports_are_in_a_file_unless_asked_for() -> None:
    """What a process was started with is in the file only where the snapshot has it."""
    bare = replace(snapshot(), processes={7: HostProcess(7, "nginx")})

    assert msgspec.json.decode(to_json(bare))["processes"]["7"]["arguments"] is None


def test_tables_without_processes_come_back_without() -> None:
    """An empty list of processes means that nobody looked for them."""
    assert len(decode(encode(snapshot())).namespaces[INIT].socket_pids) == 0
    assert np.array_equal(expand([])[1], np.zeros(0, np.int32))
