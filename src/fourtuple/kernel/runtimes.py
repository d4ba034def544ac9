"""Names of containers and pods, from the state that container runtimes keep on this host.

Only files that a runtime or the kubelet writes are read, never what a container can write: links are not followed, and
a file that is too long, or is not what it should be, gives no name. The IDs come from cgroups' names in fixed forms, so
they lead nowhere else.

Docker: container/container.go (v27), config.v2.json. containerd: the OCI bundle in its state folder, with the
annotations of pkg/cri/annotations (v1.7). CRI-O and Podman: containers/storage (v1.55), containers.json and the OCI
bundle. Kubernetes: pkg/kubelet/kuberuntime/helpers.go and legacy.go (v1.31), the folders and links of the logs.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from fourtuple.core.decoding import from_json
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.belonging import Belonging, belonging
from fourtuple.core.snapshot.records import Cgroup
from fourtuple.kernel.proc.cgroups import CGROUPS, read_cgroups

MOST_BYTES = 2**20  # of a file of state; a container's own has some 20 KB
MOST_KEPT = 10_000  # files; a node has some hundred containers, but in a long time any number
DOCKER = ("var/lib/docker", "var/snap/docker/common/var-lib-docker")
CONTAINERD = tuple(
    f"{state}/io.containerd.runtime.v2.task/{space}"
    for state in (
        "run/containerd",
        "run/k3s/containerd",
        "run/k0s/containerd",
        "var/snap/microk8s/common/run/containerd",
    )
    for space in ("k8s.io", "default")  # the namespaces of containerd that keep names in annotations
)
STORAGE = tuple(
    f"{folder}/containers/storage/{driver}-containers"
    for folder in ("run", "var/lib")
    for driver in ("overlay", "vfs", "btrfs")
)
POD_LOGS, CONTAINER_LOGS = "var/log/pods", "var/log/containers"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ContainerNames:
    """name: of the container; pod: NAMESPACE/NAME; empty: unknown"""

    name: str = ""
    pod: str = ""


UNNAMED = ContainerNames()


class DockerConfig(msgspec.Struct):
    """The part of config.v2.json that has names."""

    name: str = msgspec.field(default="", name="Name")
    config: "DockerLabels | None" = msgspec.field(default=None, name="Config")


class DockerLabels(msgspec.Struct):
    labels: Mapping[str, str] | None = msgspec.field(default=None, name="Labels")


class DockerDaemon(msgspec.Struct):
    """The part of daemon.json that says where the state is."""

    data_root: str = msgspec.field(default="", name="data-root")


class OciConfig(msgspec.Struct):
    """The part of an OCI bundle's config.json that has names."""

    annotations: Mapping[str, str] | None = None


class StoredContainer(msgspec.Struct):
    """An element of containers.json."""

    id: str
    names: tuple[str, ...] | None = None


@dataclass(slots=True)
class Runtimes:
    """What the runtimes of a host know; each file and folder is read again only when it has changed.

    root: where the host's file system is
    """

    root: Path = Path("/")
    _kept: dict[Path, tuple[tuple[int, ...], Any]] = field(default_factory=dict)

    def names(self, belonging: Belonging) -> ContainerNames:
        """The names of the container and its pod, as far as they can be read; of nested containers, the outermost's."""
        if belonging.delegated or len(belonging.containers) > 1 or ":" in belonging.pod:
            return ContainerNames(belonging.name)
        if len(self._kept) > MOST_KEPT:
            self._kept.clear()
        found = ContainerNames(belonging.name)
        if belonging.containers and not belonging.name:
            found = next((each for each in self._by_state(belonging.container) if each != UNNAMED), found)
        if belonging.qos:  # it is one of Kubernetes
            name = found.name or self._listing(CONTAINER_LOGS, _by_container).get(belonging.container, "")
            found = ContainerNames(name, found.pod or self._listing(POD_LOGS, _by_pod).get(belonging.pod, ""))
        return found

    def _by_state(self, identifier: str) -> Iterator[ContainerNames]:
        """What each file that may have this container's names says."""
        daemon = self._decoded("etc/docker/daemon.json", DockerDaemon)
        for folder in (daemon.data_root.lstrip("/"), *DOCKER) if daemon and daemon.data_root else DOCKER:
            yield _of_docker(self._decoded(f"{folder}/containers/{identifier}/config.v2.json", DockerConfig))
        for folder in CONTAINERD:
            yield _of_oci(self._decoded(f"{folder}/{identifier}/config.json", OciConfig))
        for folder in STORAGE:
            yield _of_oci(self._decoded(f"{folder}/{identifier}/userdata/config.json", OciConfig))
            stored = self._decoded(f"{folder}/containers.json", tuple[StoredContainer, ...]) or ()
            yield ContainerNames(next((each.names[0] for each in stored if each.id == identifier and each.names), ""))

    def _decoded(self, name: str, kind: type[T]) -> T | None:
        """The file as a record of this kind; None: it is missing, not permitted, too long, or something else."""
        path = self.root / name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (OSError, ValueError):
            return None
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            version = (status.st_mtime_ns, status.st_ino, status.st_size)
            if path not in self._kept or self._kept[path][0] != version:
                self._kept[path] = version, _record(file, status, kind)
        kept: T | None = self._kept[path][1]
        return kept

    def _listing(self, name: str, by: Callable[[list[str]], dict[str, str]]) -> dict[str, str]:
        """What the names in a folder say; nothing if it cannot be listed."""
        path = self.root / name
        try:
            status = os.stat(path)
            version = (status.st_mtime_ns, status.st_ino)
            if path not in self._kept or self._kept[path][0] != version:
                self._kept[path] = version, by(os.listdir(path))
        except OSError:
            return {}
        kept: dict[str, str] = self._kept[path][1]
        return kept


def cgroups_of(
    paths: Iterable[str], runtimes: Runtimes | None = None, *, cgroups: Path = CGROUPS, usage: bool = True
) -> dict[str, Cgroup]:
    """The cgroups of these paths, and whom each belongs to, by path.

    paths:    as `cgroup_path` gives them
    runtimes: keep it for the next call; None: read everything anew
    usage:    also what each uses and allows, and all those above, which takes some ten reads for each
    """
    runtimes = runtimes or Runtimes()
    found = read_cgroups(paths, cgroups) if usage else {path: Cgroup(path) for path in paths}
    return {path: _whose(cgroup, runtimes) for path, cgroup in found.items()}


def _whose(cgroup: Cgroup, runtimes: Runtimes) -> Cgroup:
    whose = belonging(cgroup.path)
    names = runtimes.names(whose)
    return replace(
        cgroup, service=whose.service, container=whose.container, name=names.name, pod=names.pod or whose.pod
    )


def _record(file: BinaryIO, status: os.stat_result, kind: type[T]) -> T | None:
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
        return None
    try:
        content = file.read(MOST_BYTES + 1)
        return from_json(content, kind) if len(content) <= MOST_BYTES else None
    except (OSError, ValueError):
        return None


def _of_docker(config: DockerConfig | None) -> ContainerNames:
    if config is None:
        return UNNAMED
    labels = (config.config.labels if config.config else None) or {}
    name = labels.get("io.kubernetes.container.name") or labels.get("com.amazonaws.ecs.container-name")
    return ContainerNames(name or config.name.removeprefix("/"), _pod(labels, "io.kubernetes.pod."))


def _of_oci(config: OciConfig | None) -> ContainerNames:
    """The annotations of containerd's CRI plugin, of CRI-O, and of nerdctl."""
    notes = (config.annotations if config else None) or {}
    names = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name")
    pod = _pod(notes, "io.kubernetes.cri.sandbox-") or _pod(notes, "io.kubernetes.pod.")
    return ContainerNames(next((notes[name] for name in names if name in notes), ""), pod)


def _pod(notes: Mapping[str, str], prefix: str) -> str:
    namespace, name = notes.get(f"{prefix}namespace"), notes.get(f"{prefix}name")
    return f"{namespace}/{name}" if namespace and name else ""


def _by_pod(names: list[str]) -> dict[str, str]:
    """NAMESPACE/NAME by UID, from the kubelet's folders NAMESPACE_NAME_UID."""
    parts = (name.split("_") for name in names)
    return {words[2]: f"{words[0]}/{words[1]}" for words in parts if len(words) == 3}


def _by_container(names: list[str]) -> dict[str, str]:
    """The container's name by its ID, from the kubelet's links POD_NAMESPACE_CONTAINER-ID.log."""
    parts = (name.removesuffix(".log").rpartition("_")[2].rpartition("-") for name in names if name.count("_") == 2)
    return {identifier: name for name, _, identifier in parts if name}
