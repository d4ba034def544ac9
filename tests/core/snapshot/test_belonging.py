"""Whom a process belongs to, by forms of cgroup paths as managers and runtimes make them; all IDs are made up."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.snapshot.belonging import Belonging, belonging, path_of

A, B = "0123456789abcdef" * 4, "fedcba9876543210" * 4
UID = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
UID_ = UID.replace("-", "_")
HASH = "00112233445566778899aabbccddeeff"
MANAGER = "/user.slice/user-1000.slice/user@1000.service"

FORMS: dict[str, dict[str, Any]] = {
    "/": {},
    "": {},
    "/init.scope": {"service": "init.scope"},
    # systemd
    "/system.slice/nginx.service": {"service": "nginx.service", "slice": "system.slice"},
    "/system.slice/nginx.service (deleted)": {"service": "nginx.service", "slice": "system.slice"},
    "/system.slice/system-postgresql.slice/postgresql@15-main.service": {
        "service": "postgresql@15-main.service",
        "slice": "system-postgresql.slice",
    },
    "/system.slice/_cpu.service": {"service": "cpu.service", "slice": "system.slice"},
    "/system.slice/cloud.service/worker/3": {"service": "cloud.service", "slice": "system.slice"},
    "/system.slice/k3s.service": {"service": "k3s.service", "slice": "system.slice"},
    "/web.slice/web-front.slice/run-u12.scope": {"service": "run-u12.scope", "slice": "web-front.slice"},
    "/user.slice/user-1000.slice/session-3.scope": {"slice": "user-1000.slice", "uid": 1000, "session": "3"},
    "/user.slice/user-42.slice/session-c1.scope": {"slice": "user-42.slice", "uid": 42, "session": "c1"},
    f"{MANAGER}/init.scope": {"service": "user@1000.service", "slice": "user-1000.slice", "uid": 1000},
    f"{MANAGER}/app.slice/syncthing.service": {"service": "syncthing.service", "slice": "app.slice", "uid": 1000},
    f"{MANAGER}/app.slice/app-gnome-firefox-4711.scope": {
        "service": "app-gnome-firefox-4711.scope",
        "slice": "app.slice",
        "uid": 1000,
    },
    # Docker
    f"/docker/{A}": {"containers": (A,), "runtime": "docker"},
    f"/docker/{A}/system.slice/sshd.service": {
        "containers": (A,),
        "runtime": "docker",
        "service": "sshd.service",
        "slice": "system.slice",
    },
    f"/system.slice/docker-{A}.scope": {"containers": (A,), "runtime": "docker", "slice": "system.slice"},
    f"/system.slice/docker-{A}.scope/init": {"containers": (A,), "runtime": "docker", "slice": "system.slice"},
    f"/web.slice/docker-{A}.scope": {"containers": (A,), "runtime": "docker", "slice": "web.slice"},
    f"/team/{A}": {"containers": (A,)},
    f"/actions_job/{A}": {"containers": (A,)},
    f"{MANAGER}/user.slice/docker-{A}.scope": {
        "containers": (A,),
        "runtime": "docker",
        "slice": "user.slice",
        "uid": 1000,
        "delegated": True,
    },
    "/docker/buildkit/x8r0n4aj8z2yrnq7c5h0wymnk": {
        "containers": ("x8r0n4aj8z2yrnq7c5h0wymnk",),
        "name": "x8r0n4aj8z2yrnq7c5h0wymnk",
        "runtime": "buildkit",
    },
    "/system.slice/docker.service": {"service": "docker.service", "slice": "system.slice"},
    # Kubernetes
    f"/kubepods/besteffort/pod{UID}/{A}": {"containers": (A,), "pod": UID, "qos": "besteffort"},
    f"/kubepods/burstable/pod{UID}/{A}": {"containers": (A,), "pod": UID, "qos": "burstable"},
    f"/kubepods/pod{UID}/{A}": {"containers": (A,), "pod": UID, "qos": "guaranteed"},
    f"/kubepods/burstable/pod{HASH}/{A}": {"containers": (A,), "pod": HASH, "qos": "burstable"},
    f"/kubepods/burstable/pod{UID}": {"pod": UID, "qos": "burstable"},
    f"/kubepods/burstable/pod{UID}/crio-{A}": {
        "containers": (A,),
        "runtime": "cri-o",
        "pod": UID,
        "qos": "burstable",
    },
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{A}.scope": {
        "containers": (A,),
        "runtime": "containerd",
        "pod": UID,
        "qos": "burstable",
        "slice": f"kubepods-burstable-pod{UID_}.slice",
    },
    f"/kubepods.slice/kubepods-pod{UID_}.slice/crio-{A}.scope/container": {
        "containers": (A,),
        "runtime": "cri-o",
        "pod": UID,
        "qos": "guaranteed",
        "slice": f"kubepods-pod{UID_}.slice",
    },
    f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/crio-conmon-{A}.scope": {
        "containers": (A,),
        "runtime": "cri-o",
        "pod": UID,
        "qos": "besteffort",
        "slice": f"kubepods-besteffort-pod{UID_}.slice",
    },
    f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID_}.slice/docker-{A}.scope": {
        "containers": (A,),
        "runtime": "docker",
        "pod": UID,
        "qos": "guaranteed",
        "slice": f"kubelet-kubepods-pod{UID_}.slice",
    },
    f"/system.slice/containerd.service/kubepods-besteffort-pod{UID_}.slice:cri-containerd:{A}": {
        "containers": (A,),
        "runtime": "containerd",
        "pod": UID,
        "qos": "besteffort",
        "slice": f"kubepods-besteffort-pod{UID_}.slice",
    },
    f"/../../kubepods-besteffort-pod{UID_}.slice/cri-containerd-{A}.scope": {
        "containers": (A,),
        "runtime": "containerd",
        "pod": UID,
        "qos": "besteffort",
        "slice": f"kubepods-besteffort-pod{UID_}.slice",
    },
    f"/../cri-containerd-{A}.scope": {"containers": (A,), "runtime": "containerd"},
    f"/../{A}": {"containers": (A,)},
    f"/kubepods/burstable/pod{UID}/kata_{A}": {
        "containers": (A,),
        "runtime": "kata",
        "pod": UID,
        "qos": "burstable",
    },
    # A node of Kubernetes that is a container itself, and what a container may name as it likes
    f"/docker/{B}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID_}.slice/cri-containerd-{A}.scope": {
        "containers": (B, A),
        "runtime": "docker",
        "pod": f"{B}:{UID}",
        "qos": "guaranteed",
        "slice": f"kubelet-kubepods-pod{UID_}.slice",
    },
    f"/docker/{B}/docker/{A}": {"containers": (B, A), "runtime": "docker"},
    f"/system.slice/own.service/docker-{A}.scope": {
        "service": "own.service",
        "containers": (A,),
        "runtime": "docker",
        "slice": "system.slice",
        "delegated": True,
    },
    # containerd without Kubernetes
    f"/default/{A}": {"containers": (A,), "runtime": "containerd"},
    f"/system.slice/nerdctl-{A}.scope": {"containers": (A,), "runtime": "containerd", "slice": "system.slice"},
    # Podman
    f"/machine.slice/libpod-{A}.scope": {"containers": (A,), "runtime": "podman", "slice": "machine.slice"},
    f"/machine.slice/libpod-{A}.scope/container": {"containers": (A,), "runtime": "podman", "slice": "machine.slice"},
    f"/machine.slice/libpod-conmon-{A}.scope": {"containers": (A,), "runtime": "podman", "slice": "machine.slice"},
    f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope": {
        "containers": (A,),
        "runtime": "podman",
        "pod": B,
        "slice": f"machine-libpod_pod_{B}.slice",
    },
    f"/libpod_parent/libpod-{A}": {"containers": (A,), "runtime": "podman"},
    f"{MANAGER}/user.slice/libpod-{A}.scope/container": {
        "containers": (A,),
        "runtime": "podman",
        "slice": "user.slice",
        "uid": 1000,
        "delegated": True,
    },
    f"/system.slice/web.service/libpod-payload-{A}": {
        "containers": (A,),
        "runtime": "podman",
        "service": "web.service",
        "slice": "system.slice",
        "delegated": True,
    },
    # LXC, LXD, Incus, Proxmox
    "/lxc/web": {"containers": ("web",), "name": "web", "runtime": "lxc"},
    "/lxc/101/ns/system.slice/ssh.service": {
        "containers": ("101",),
        "name": "101",
        "runtime": "lxc",
        "service": "ssh.service",
        "slice": "system.slice",
    },
    "/lxc.payload.web": {"containers": ("web",), "name": "web", "runtime": "lxc"},
    "/lxc.payload.shop_web/system.slice/nginx.service": {
        "containers": ("shop_web",),
        "name": "shop_web",
        "runtime": "lxc",
        "service": "nginx.service",
        "slice": "system.slice",
    },
    "/lxc.monitor.web": {"containers": ("web",), "name": "web", "runtime": "lxc"},
    "/lxc.payload/101": {"containers": ("101",), "name": "101", "runtime": "lxc"},
    f"/lxc.payload.web/system.slice/docker-{A}.scope": {
        "containers": ("web", A),
        "name": "web",
        "runtime": "lxc",
        "slice": "system.slice",
    },
    "/qemu.slice/104.scope": {"containers": ("104",), "name": "104", "runtime": "qemu", "slice": "qemu.slice"},
    # systemd-nspawn, and machines that systemd-machined lists
    "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service": {
        "containers": ("web",),
        "name": "web",
        "runtime": "systemd-nspawn",
        "service": "nginx.service",
        "slice": "system.slice",
    },
    "/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/libvirt/emulator": {
        "containers": ("qemu-3-web",),
        "name": "qemu-3-web",
        "runtime": "systemd-machined",
        "slice": "machine.slice",
    },
    # Nomad, ECS, others
    f"/nomad.slice/{UID}.web.scope": {
        "containers": (f"{UID}.web",),
        "name": "web",
        "runtime": "nomad",
        "pod": UID,
        "slice": "nomad.slice",
    },
    f"/nomad.slice/share.slice/{UID}.web.scope": {
        "containers": (f"{UID}.web",),
        "name": "web",
        "runtime": "nomad",
        "pod": UID,
        "slice": "share.slice",
    },
    f"/nomad/share/{UID}.web": {"containers": (f"{UID}.web",), "name": "web", "runtime": "nomad", "pod": UID},
    f"/ecs/{UID}/{A}": {"containers": (A,), "runtime": "docker", "pod": UID},
    f"/ecs/{HASH}/{A}": {"containers": (A,), "runtime": "docker", "pod": HASH},
    f"/ecs/shop/{HASH}/{A}": {"containers": (A,), "runtime": "docker", "pod": HASH},
    f"/ecs/{HASH}/{HASH}-2345678901": {
        "containers": (f"{HASH}-2345678901",),
        "runtime": "containerd",
        "pod": HASH,
    },
    f"/ecstasks.slice/ecstasks-{HASH}.slice/docker-{A}.scope": {
        "containers": (A,),
        "runtime": "docker",
        "pod": HASH,
        "slice": f"ecstasks-{HASH}.slice",
    },
    f"/mesos/{UID}": {"containers": (UID,), "name": UID, "runtime": "mesos"},
}


@pytest.mark.parametrize(("path", "fields"), FORMS.items(), ids=FORMS)
def test_a_path_names_whom_it_belongs_to(path: str, fields: dict[str, Any]) -> None:
    """Each form gives exactly these fields, and nothing else."""

    assert belonging(path) == Belonging(**fields)


@given(st.text("/abc-._@:0(1\\x2d{}service.scope.slice").map(lambda text: f"/{text}"))
def test_no_name_of_a_cgroup_is_an_error(path: str) -> None:
    assert isinstance(belonging(path), Belonging)


@given(st.lists(st.sampled_from([*FORMS]), max_size=2), st.sampled_from([f"/docker/{B}", "/lxc.payload.web"]))
def test_whatever_a_container_names_inside_it_stays_that_container(inside: list[str], outside: str) -> None:
    """Neither its ID nor a pod's UID from inside stands alone, so neither is taken for one of the host."""
    found = belonging("".join([outside, *inside]))

    assert found.containers[0] == belonging(outside).container
    assert not found.pod or ":" in found.pod


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/nginx.service\n", "/system.slice/nginx.service"),
        ("0::/\n", "/"),
        ("0::/x (deleted)\n", "/x"),
        ("5:cpu,cpuacct:/deep/er/than/all\n4:memory:/docker/a\n1:name=systemd:/docker\n0::/\n", "/docker/a"),
        ("4:memory:/\n3:pids:/\n1:name=systemd:/system.slice/a.service\n", "/system.slice/a.service"),
        ("4:memory:/a:b\n", "/a:b"),
        ("", ""),
        ("no line\n", ""),
        ("0::not-a-path\n", ""),
    ],
)
def test_the_deepest_path_of_a_process_counts(text: str, path: str) -> None:
    assert path_of(text) == path
