"""Names of containers and pods from the state of each runtime, and what gives none."""

import json
import os
from pathlib import Path

import pytest

from fourtuple.core.snapshot.belonging import belonging
from fourtuple.core.snapshot.records import Cgroup
from fourtuple.kernel.runtimes import MOST_BYTES, UNNAMED, ContainerNames, Runtimes, cgroups_of

ID, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4
UID = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
POD = f"/kubepods/burstable/pod{UID}/{ID}"
DOCKER = f"/docker/{ID}"
DOCKER_FILE = f"var/lib/docker/containers/{ID}/config.v2.json"
CRI = {
    "io.kubernetes.cri.container-name": "nginx",
    "io.kubernetes.cri.sandbox-name": "web-1",
    "io.kubernetes.cri.sandbox-namespace": "shop",
}
CRIO = {
    "io.kubernetes.container.name": "nginx",
    "io.kubernetes.pod.name": "web-1",
    "io.kubernetes.pod.namespace": "shop",
}
WEB = ContainerNames("nginx", "shop/web-1")


def write(root: Path, name: str, content: object) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("path", "file", "content", "names"),
    [
        (DOCKER, DOCKER_FILE, {"Name": "/web", "ID": ID, "Config": {"Labels": None}}, ContainerNames("web")),
        (DOCKER, DOCKER_FILE, {"Name": "/web"}, ContainerNames("web")),
        (
            POD,
            DOCKER_FILE,
            {"Name": "/k8s_nginx_web-1_shop_1_0", "Config": {"Labels": CRIO}},
            WEB,
        ),
        (
            f"/ecs/{UID}/{ID}",
            DOCKER_FILE,
            {"Name": "/ecs-shop-3-web-a0", "Config": {"Labels": {"com.amazonaws.ecs.container-name": "web"}}},
            ContainerNames("web"),
        ),
        (POD, f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json", {"annotations": CRI}, WEB),
        (POD, f"run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json", {"annotations": CRI}, WEB),
        (
            f"/default/{ID}",
            f"run/containerd/io.containerd.runtime.v2.task/default/{ID}/config.json",
            {"annotations": {"nerdctl/name": "web"}},
            ContainerNames("web"),
        ),
        (POD, f"run/containers/storage/overlay-containers/{ID}/userdata/config.json", {"annotations": CRIO}, WEB),
        (
            f"/machine.slice/libpod-{ID}.scope/container",
            "var/lib/containers/storage/overlay-containers/containers.json",
            [{"id": OTHER, "names": ["db"]}, {"id": ID, "names": ["web"], "layer": "x"}],
            ContainerNames("web"),
        ),
        (POD, f"var/log/pods/shop_web-1_{UID}/nginx/0.log", "", ContainerNames("", "shop/web-1")),
        (POD, f"var/log/containers/web-1_shop_nginx-{ID}.log", "", ContainerNames("nginx")),
        ("/lxc.payload.web", "x", "", ContainerNames("web")),
        ("/system.slice/nginx.service", "x", "", UNNAMED),
    ],
)
def test_each_runtime_keeps_names_in_its_own_place(
    path: str, file: str, content: object, names: ContainerNames, tmp_path: Path
) -> None:
    write(tmp_path, file, content)

    assert Runtimes(tmp_path).names(belonging(path)) == names
    another = path.replace(ID, OTHER).replace(UID, UID.replace("1", "0")).replace(".web", ".db")

    assert Runtimes(tmp_path).names(belonging(another)) != names or names == UNNAMED


def test_the_state_of_docker_is_where_its_daemon_keeps_it(tmp_path: Path) -> None:
    write(tmp_path, "etc/docker/daemon.json", {"data-root": "/mnt/docker", "debug": True})
    write(tmp_path, f"mnt/docker/containers/{ID}/config.v2.json", {"Name": "/web"})

    assert Runtimes(tmp_path).names(belonging(DOCKER)).name == "web"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"Name": 7}',
        '{"Name": "/web", "Config": []}',
        "[" * 100_000,
        " " * MOST_BYTES + '{"Name": "/web"}',
    ],
)
def test_what_is_not_as_it_should_be_gives_no_name(content: str, tmp_path: Path) -> None:
    write(tmp_path, DOCKER_FILE, content)

    assert Runtimes(tmp_path).names(belonging(DOCKER)) == UNNAMED


def test_a_link_and_a_fifo_in_place_of_a_file_are_not_opened(tmp_path: Path) -> None:
    target = write(tmp_path, "elsewhere", {"Name": "/forged"})
    file = tmp_path / DOCKER_FILE
    file.parent.mkdir(parents=True)
    file.symlink_to(target)
    by_link = Runtimes(tmp_path).names(belonging(DOCKER))
    file.unlink()
    os.mkfifo(file)

    assert by_link == Runtimes(tmp_path).names(belonging(DOCKER)) == UNNAMED


@pytest.mark.parametrize(
    "path",
    [
        f"/lxc.payload.own/docker/{ID}",
        f"/docker/{OTHER}/docker/{ID}",
        f"/docker/{OTHER}/kubepods/pod{UID}/{ID}",
        f"/docker/{OTHER}/kubepods/pod{UID}",
        f"/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod{UID}.slice/docker-{ID}.scope",
        f"/system.slice/own.service/docker-{ID}.scope",
    ],
)
def test_whoever_names_cgroups_of_its_own_gets_no_name_of_another(path: str, tmp_path: Path) -> None:
    """A container, a user or a service with a cgroup tree of its own may name one after a container of the host."""
    write(tmp_path, DOCKER_FILE, {"Name": "/bank", "Config": {"Labels": CRIO}})
    write(tmp_path, f"var/log/pods/shop_web-1_{UID}/nginx/0.log", "")
    names = Runtimes(tmp_path).names(belonging(path))

    assert names in (UNNAMED, ContainerNames("own"))


def test_a_name_is_read_again_when_its_file_has_changed(tmp_path: Path) -> None:
    """Docker renames a container by writing its file anew; until then the file is not decoded again."""
    runtimes = Runtimes(tmp_path)
    file = write(tmp_path, DOCKER_FILE, {"Name": "/one"})
    first = runtimes.names(belonging(DOCKER)).name
    file.with_suffix(".new").write_text(json.dumps({"Name": "/two"}))
    os.replace(file.with_suffix(".new"), file)
    second = runtimes.names(belonging(DOCKER)).name
    file.unlink()

    assert (first, second, runtimes.names(belonging(DOCKER)).name) == ("one", "two", "")


V2 = {
    "cgroup.controllers": "memory pids\n",
    "a/memory.current": "700\n",
    "a/memory.max": "900\n",
    "a/pids.max": "max\n",
    "a/b/memory.current": "500\n",
    "a/b/memory.max": "max\n",
    "a/b/memory.stat": "anon 1\nsock 40\nactive_file 10\ninactive_file 5\n",
    "a/b/memory.events": "low 0\noom 3\noom_kill 2\n",
    "a/b/pids.current": "7\n",
    "a/b/pids.max": "10\n",
    "a/b/pids.events": "max 4\n",
}
V1 = {
    "memory/a/b/memory.usage_in_bytes": "500\n",
    "memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/a/memory.limit_in_bytes": "900\n",
    "memory/a/b/memory.stat": "active_file 1\ntotal_active_file 10\ntotal_inactive_file 5\n",
    "memory/a/b/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory/a/b/memory.kmem.tcp.usage_in_bytes": "40\n",
    "pids/a/b/pids.current": "7\n",
    "pids/a/b/pids.max": "10\n",
    "pids/a/b/pids.events": "max 4\n",
}


@pytest.mark.parametrize("files", [V1, V2])
def test_what_a_cgroup_uses_counts_against_the_limits_above_it(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    found = cgroups_of(["/a/b"], Runtimes(tmp_path / "nothing"), cgroups=tmp_path)

    assert list(found) == ["/", "/a", "/a/b"]
    assert found["/a"].memory_most_bytes == 900
    assert found["/a/b"] == Cgroup(
        "/a/b",
        memory_bytes=500,
        memory_most_bytes=900,
        files_bytes=15,
        sockets_bytes=40,
        oom_kills=2,
        pids=7,
        pids_most=10,
        pids_refused=4,
    )


def test_a_path_outside_of_our_cgroups_leads_nowhere(tmp_path: Path) -> None:
    """`/../x` would lead out of the cgroup file system; whom it belongs to is known all the same."""
    write(tmp_path, "x/memory.current", "500\n")
    path = f"/../docker-{ID}.scope"
    found = cgroups_of(["/../x", path], Runtimes(tmp_path), cgroups=tmp_path / "cgroup")

    assert found["/../x"] == Cgroup("/../x")
    assert found[path] == Cgroup(path, container=ID)


def test_whom_it_belongs_to_needs_no_read_of_its_use(tmp_path: Path) -> None:
    write(tmp_path, DOCKER_FILE, {"Name": "/web"})
    found = cgroups_of([DOCKER], Runtimes(tmp_path), cgroups=tmp_path, usage=False)

    assert found == {DOCKER: Cgroup(DOCKER, container=ID, name="web")}
