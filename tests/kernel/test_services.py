"""Ports that the files of a host name, read below a folder that stands for its root."""

import json
import os
from pathlib import Path

import pytest

from fourtuple.kernel.services import read_claims
from tests.conftest import need


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def named(root: Path) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for claim in read_claims(root)[0]:
        found.setdefault(claim.by, []).append((claim.first, claim.last))
    return found


def one(port: int) -> list[tuple[int, int]]:
    return [(port, port)]


def test_an_empty_host_claims_nothing(root: Path) -> None:
    assert read_claims(root) == ([], [])


@pytest.mark.parametrize(
    "folder", ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "etc/systemd/user"]
)
def test_sockets_and_services_of_systemd(root: Path, folder: str) -> None:
    write(root, f"{folder}/a.socket", "[Socket]\nListenStream=7000\n")
    write(root, f"{folder}/b.service", "[Service]\nEnvironmentFile=-/etc/b.env\nExecStart=/bin/b $ARGS\n")
    write(root, "etc/b.env", "ARGS=--port=7001\n")

    assert named(root) == {"a.socket": one(7000), "b.service": one(7001)}


def test_a_unit_in_etc_hides_that_of_usr_and_a_mask_hides_it_whole(root: Path) -> None:
    for name in ("a", "b"):
        write(root, f"usr/lib/systemd/system/{name}.socket", "[Socket]\nListenStream=7000\n")
    write(root, "etc/systemd/system/a.socket", "[Socket]\nListenStream=7001\n")
    (root / "etc/systemd/system/b.socket").symlink_to("/dev/null")

    assert named(root) == {"a.socket": one(7001)}


def test_drop_ins_of_every_folder_count(root: Path) -> None:
    write(root, "usr/lib/systemd/system/a.socket", "[Socket]\nListenStream=7000\n")
    write(root, "etc/systemd/system/a.socket.d/20.conf", "[Socket]\nListenStream=7002\n")
    write(root, "run/systemd/system/a.socket.d/10.conf", "[Socket]\nListenStream=\nListenStream=7001\n")

    assert named(root) == {"a.socket": [(7001, 7001), (7002, 7002)]}


def test_instances_of_a_template(root: Path) -> None:
    """The ones that something wants; the template by itself has no port."""
    write(root, "usr/lib/systemd/system/x@.socket", "[Socket]\nListenStream=%i\n")
    write(root, "etc/systemd/system/sockets.target.wants/x@7003.socket", "")

    assert named(root) == {"x@7003.socket": one(7003)}


def test_configurations_name_ports_and_those_that_do_not_mean_the_usual_ones(root: Path) -> None:
    write(root, "etc/nginx/sites-enabled/shop", "server { listen 8080; }\n")
    write(root, "etc/redis/redis.conf", "# port 1\nmaxmemory 4096\n")
    write(root, "etc/postgresql/15/main/postgresql.conf", "port = 5433\n")
    write(root, "etc/services", "other 9999/tcp\n")

    assert named(root) == {
        "nginx (/etc/nginx/sites-enabled/shop)": one(8080),
        "Redis, Valkey (usual port)": one(6379),
        "PostgreSQL (/etc/postgresql/15/main/postgresql.conf)": one(5433),
    }


@pytest.mark.parametrize(
    "sign", ["etc/kubernetes/kubelet.conf", "var/lib/kubelet/config.yaml", "etc/rancher/k3s/k3s.yaml", "proc/77/comm"]
)
def test_node_ports_where_a_kubelet_or_its_configuration_is_seen(root: Path, sign: str) -> None:
    write(root, sign, "kubelet\n")

    assert named(root)["Kubernetes NodePorts"] == [(30000, 32767)]
    assert (10250, 10250) in named(root)["kubelet"]


@pytest.mark.parametrize("comm", ["bash", "kubectl"])
def test_no_node_ports_elsewhere(root: Path, comm: str) -> None:
    write(root, "proc/77/comm", f"{comm}\n")

    assert named(root) == {}


def test_node_ports_as_they_are_configured(root: Path) -> None:
    """By the API server's manifest, k3s' configuration, or the command line of a process."""
    write(root, "etc/kubernetes/manifests/kube-apiserver.yaml", "    - --service-node-port-range=20000-20099\n")
    assert named(root)["Kubernetes NodePorts"] == [(20000, 20099)]

    write(root, "proc/77/comm", "k3s-server\n")
    write(root, "proc/77/cmdline", "k3s\0server\0--service-node-port-range=21000-21099\0")
    assert named(root)["Kubernetes NodePorts"] == [(21000, 21099)]


def test_ports_that_containers_publish(root: Path) -> None:
    hosts = '{"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": null}}'
    write(root, "var/lib/docker/containers/0123456789abcdef/hostconfig.json", hosts)
    write(root, "var/lib/docker/containers/broken/hostconfig.json", '{"PortBindings": [')
    write(root, "var/lib/docker/swarm/state.json", "[]")

    assert named(root) == {"Docker container 0123456789ab": one(8080), "Docker Swarm": [(30000, 32767)]}


def test_what_may_not_be_read_is_said(root: Path) -> None:
    """A file, a folder of the table, and a folder that a pattern leads to; asked as another user."""
    need(os.geteuid() == 0, "root, to become a user who may not read every file")
    hidden = (
        "etc/systemd/system/a.socket",
        "etc/redis",
        "etc/pgbouncer",
        "etc/nginx/conf.d",
        "var/lib/docker/containers",
    )
    write(root, hidden[0], "[Socket]\nListenStream=7000\n")
    for folder in hidden[1:]:
        write(root, f"{folder}/redis.conf", "port 7000\n")
    for name in hidden:
        (root / name).chmod(0)
    for above in (root, *root.parents):
        if above.stat().st_mode & 0o777 == 0o700:
            above.chmod(0o755)  # pytest's own are for their user alone
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            os.setuid(65_534)
            os.write(writer, json.dumps(read_claims(root)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        claims, unread = json.load(answer)
    os.waitpid(pid, 0)

    assert claims == []
    assert unread == sorted(
        [f"/{name}" for name in (hidden[0], "etc/redis", "etc/pgbouncer/pgbouncer.ini", *hidden[3:])]
    )


def test_files_that_are_no_text_or_never_end_are_no_error(root: Path) -> None:
    write(root, "etc/systemd/system/a.socket", "[Socket]\nListenStream=7000\n")
    (root / "etc/systemd/system/b.service").write_bytes(bytes(range(256)))
    os.mkfifo(root / "etc/systemd/system/c.socket")
    (root / "etc/systemd/system/d.socket").symlink_to("d.socket")
    (root / "etc/systemd/system/e.socket").mkdir()

    assert named(root) == {"a.socket": one(7000)}
