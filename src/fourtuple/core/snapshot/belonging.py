"""Whom a process belongs to, by the path of its cgroup: a service, a container, a pod, a user.

Only names are read here. Managers put what they run into cgroups of fixed forms: systemd (cgroups(7), systemd.slice(5),
src/basic/cgroup-util.c, v257), the kubelet (pkg/kubelet/cm/pod_container_manager_linux.go, v1.31), the OCI runtimes'
`cgroupsPath`, LXC (src/lxc/cgroups/cgfsng.c, v6.0), Nomad (client/lib/cgroupslib, v1.9), the agent of ECS.

A container, user or service that manages cgroups of its own names them as it likes. Those in a container are reported
below its own name, `OUTER:INNER`, and those of users and services are marked as `delegated`, so that none can pass
itself off as another.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from fourtuple.core.late import late_pattern
from fourtuple.core.record import dataclass

ID = "[0-9a-f]{64}"
UID = "[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
DELETED = " (deleted)"  # a cgroup that was removed while a process was in it (kernel/cgroup/cgroup.c)
UNIT = late_pattern(r".+\.(?:service|scope|socket|mount|swap)")
GUARANTEED, CLASSES = "guaranteed", ("burstable", "besteffort")

# The word before the ID in the name of a container's cgroup → the runtime.
RUNTIMES: Mapping[str, str] = MappingProxyType(
    {
        "docker": "docker",
        "cri-containerd": "containerd",
        "nerdctl": "containerd",
        "containerd": "containerd",
        "crio": "cri-o",
        "crio-conmon": "cri-o",
        "libpod": "podman",
        "libpod-conmon": "podman",
        "libpod-payload": "podman",
        "kata": "kata",
    }
)
# The same for cgroups without such a word: the cgroup above.
PARENTS: Mapping[str, str] = MappingProxyType(
    {"docker": "docker", "ecs": "docker", "libpod_parent": "podman", "default": "containerd", "moby": "docker"}
)
# Services in whose cgroups containers are found, where the drivers of kubelet and runtime differ.
MANAGERS = late_pattern(
    r"(?:containerd|docker|crio|kubelet|k3s|k3s-agent|rke2-server|rke2-agent|k0scontroller|k0sworker)\.service"
)
IN_ITS_NAME = late_pattern(rf"(?:(?P<word>[a-z][a-z0-9.-]*?)[-_:])?(?P<id>{ID})(?:\.scope)?")
POD = late_pattern(rf"(?:.*-)?pod(?P<pod>{UID}|[0-9a-f]{{32}})(?:\.slice)?")  # 32 digits: a pod of a file (static pod)
PODMAN_POD = late_pattern(rf"(?:.*-)?libpod_pod_(?P<pod>{ID})(?:\.slice)?")
ECS_SLICE = late_pattern(r"ecstasks-(?P<pod>[0-9a-f]{32})\.slice")
NOMAD = late_pattern(rf"(?P<id>(?P<pod>{UID})\.(?P<name>.+?))(?:\.scope)?")
TASK = late_pattern(rf"[0-9a-f]{{32}}|{UID}")
FARGATE = late_pattern(r"(?P<id>[0-9a-f]{32}-[0-9]+)")
USER = late_pattern(r"user(?:-([0-9]{1,10})\.slice|@([0-9]{1,10})\.service)")
SESSION = late_pattern(r"session-(.+)\.scope")

# Forms in which a container is known by a name: the runtime, and the cgroup's name.
BY_NAME = (
    ("lxc", late_pattern(r"lxc\.(?:payload|monitor)\.(?P<id>.+)")),
    ("systemd-nspawn", late_pattern(r"systemd-nspawn@(?P<id>.+)\.service")),
    ("systemd-machined", late_pattern(r"machine-(?P<id>.+)\.scope")),
)
# The cgroup above, the form of the name below it, and the runtime.
BELOW = (
    ("lxc", late_pattern(r"(?P<id>.+)"), "lxc"),
    ("lxc.payload", late_pattern(r"(?P<id>.+)"), "lxc"),
    ("lxc.monitor", late_pattern(r"(?P<id>.+)"), "lxc"),
    ("qemu.slice", late_pattern(r"(?P<id>[0-9]+)\.scope"), "qemu"),
    ("buildkit", late_pattern(r"(?P<id>[a-z0-9]{25})"), "buildkit"),
    ("garden", late_pattern(r"(?P<id>.+)"), "garden"),
    ("mesos", late_pattern(rf"(?P<id>{UID})"), "mesos"),
)


@dataclass(frozen=True, slots=True)
class Belonging:
    """Whom a process belongs to; what is empty, or None, does not apply.

    service:    its innermost unit of systemd, `nginx.service`; in a container, a unit of the systemd inside
    containers: IDs, or names where the runtime has no other; the outermost first
    name:       the container's name, where the path has it
    runtime:    of the outermost: `docker`, `containerd`, `cri-o`, `podman`, `lxc` …; empty: the path does not tell
    pod:        the UID of its pod, or the ID of its ECS task, allocation of Nomad, pod of Podman
    qos:        the pod's class: `guaranteed`, `burstable`, `besteffort`
    slice:      the innermost slice
    uid, session: the user whose manager or login session it is part of
    delegated:  the container is in a part of the tree that a user or another service manages
    """

    service: str = ""
    containers: tuple[str, ...] = ()
    name: str = ""
    runtime: str = ""
    pod: str = ""
    qos: str = ""
    slice: str = ""
    uid: int | None = None
    session: str = ""
    delegated: bool = False

    @property
    def container(self) -> str:
        return ":".join(self.containers)


def path_of(text: str) -> str:
    """The cgroup of a process, from its /proc/PID/cgroup; empty: the text has none.

    With version 1 there is one path for each controller, and a controller that is not used leaves a process further up:
    the deepest path of those that matter here is taken.
    """
    found = []
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")  # 4:memory:/a in version 1, 0::/a in version 2
        if colon and path.startswith("/") and {"", "pids", "memory", "name=systemd"} & set(controllers.split(",")):
            found.append(path.removesuffix(DELETED).rstrip("/") or "/")
    return max(found, key=lambda path: path.count("/") if path != "/" else 0, default="")


def belonging(path: str) -> Belonging:
    """Whom the processes of this cgroup belong to. path: as /proc/PID/cgroup gives it"""
    found, above = Belonging(), ""
    for part in _parts(path):
        found, above = _with(found, part, above), part
    return found


def _parts(path: str) -> Iterator[str]:
    """The names along the path. `..`: it lies outside the reader's own cgroup namespace (cgroup_namespaces(7))."""
    for part in path.removesuffix(DELETED).split("/"):
        # With a driver that does not match, runc takes SLICE:PREFIX:ID for one name.
        slice_, colon, rest = part.partition(".slice:")
        if colon:
            yield f"{slice_}.slice"
        name = rest if colon else part
        if name not in ("", ".", ".."):
            yield name


def _with(found: Belonging, part: str, above: str) -> Belonging:
    """What is known after one more name of the path. above: the name before it"""
    if not found.pod and (pod := _pod(part, above)) is not None:
        name, qos = pod
        inside = f"{found.container}:" if found.containers else ""
        return replace(found, pod=inside + name, qos=qos, slice=part if part.endswith(".slice") else found.slice)
    if (container := _container(part, above, found)) is not None:
        if found.containers:
            return replace(found, containers=(*found.containers, container.containers[0]))
        is_managed = found.uid is None and (not found.service or MANAGERS.fullmatch(found.service))
        return replace(
            container,
            service="" if is_managed or found.service.startswith("user@") else found.service,
            pod=found.pod or container.pod,
            qos=found.qos,
            slice=found.slice,
            uid=found.uid,
            delegated=not is_managed,
        )
    return _of_systemd(found, part)


def _pod(part: str, above: str) -> tuple[str, str] | None:
    """(pod, class) if this cgroup is that of a pod."""
    if match := POD.fullmatch(part):
        words = (above, *re.split(r"[-.]", part))
        return match["pod"].replace("_", "-"), next((each for each in CLASSES if each in words), GUARANTEED)
    if match := PODMAN_POD.fullmatch(part) or ECS_SLICE.fullmatch(part):
        return match["pod"], ""
    return None


def _container(part: str, above: str, found: Belonging) -> Belonging | None:
    """What the name of this cgroup says if it is that of a container."""
    if match := IN_ITS_NAME.fullmatch(part):
        word = match["word"] or ""
        task = above if not word and TASK.fullmatch(above) and not found.pod else ""
        runtime = RUNTIMES.get(word, word) or PARENTS.get(above, "docker" if task else "")
        return Belonging(containers=(match["id"],), runtime=runtime, pod=task)
    if FARGATE.fullmatch(part) and part.startswith(f"{above}-"):
        return Belonging(containers=(part,), runtime="containerd", pod=above)
    if match := NOMAD.fullmatch(part):
        return Belonging(containers=(match["id"],), runtime="nomad", pod=match["pod"], name=match["name"])
    for runtime, form in BY_NAME:
        if match := form.fullmatch(part):
            name = unescaped(match["id"])
            return Belonging(containers=(name,), runtime=runtime, name=name)
    for parent, form, runtime in BELOW:
        if above == parent and (match := form.fullmatch(part)):
            return Belonging(containers=(match["id"],), runtime=runtime, name=match["id"])
    return None


def _of_systemd(found: Belonging, part: str) -> Belonging:
    if part.endswith(".slice"):
        found = replace(found, slice=part)
    if not found.containers and (match := USER.fullmatch(part)):
        found = replace(found, uid=int((match[1] or match[2])[:10]))
    if not found.containers and (match := SESSION.fullmatch(part)):
        return replace(found, session=match[1])
    if UNIT.fullmatch(part) and not (part == "init.scope" and found.service):
        # systemd puts `_` before names that the kernel's own files might have (cg_escape() in cgroup-util.c).
        return replace(found, service=part.removeprefix("_"))
    return found


def unescaped(name: str) -> str:
    """The name in a unit's name, in which `\\x2d` is a hyphen (systemd-escape(1))."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name)
