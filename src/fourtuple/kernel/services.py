"""Which ports the files of this host name: units of systemd, configurations of programs, Kubernetes, containers.

Files that another user may not see are named, and so is what they could have said. At most MOST_FILES files are read,
and MOST_BYTES of each: a service is configured in far less.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from fourtuple.core.plan import units
from fourtuple.core.plan.claims import Claim
from fourtuple.core.plan.programs import KUBELET_PORTS, NODE_PORTS, PROGRAM_FILES, named_ports, node_ports
from fourtuple.kernel.proc.files import text_of

ROOT = Path("/")
MOST_FILES, MOST_BYTES = 20_000, 2**18
# In the order in which systemd prefers them (systemd.unit(5), Unit File Load Path).
PLACES = (
    "etc/systemd/{}",
    "run/systemd/{}",
    "run/systemd/transient",
    "run/systemd/generator",
    "usr/local/lib/systemd/{}",
    "usr/lib/systemd/{}",
    "lib/systemd/{}",
)
KUBERNETES = frozenset({"kubelet", "kubelite", "kube-proxy", "kube-apiserver", "k0s", "rke2"})
KUBERNETES_FOLDERS = (
    "etc/kubernetes",
    "var/lib/kubelet",
    "etc/rancher",
    "var/lib/rancher",
    "var/snap/microk8s",
    "etc/k0s",
)
KUBERNETES_FILES = (
    "etc/kubernetes/manifests/kube-apiserver.yaml",
    "etc/kubernetes/apiserver",
    "etc/rancher/*/config.yaml",
    "etc/rancher/*/config.yaml.d/*.yaml",
    "etc/systemd/system/k3s.service",
    "var/snap/microk8s/current/args/kube-apiserver",
    "etc/k0s/k0s.yaml",
)


class HostFiles:
    """Files below a root, read while there are not too many. unread: those that this user may not read"""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unread: set[str] = set()
        self._left = MOST_FILES

    def matching(self, pattern: str) -> list[Path]:
        """The regular files that a pattern below the root matches, ascending."""
        found = [self.root]
        for part in pattern.split("/"):
            if not set(part) & set("*?["):
                found = [folder / part for folder in found]
            else:
                found = [each for folder in found for each in self.entries(folder) if fnmatch(each.name, part)]
        return [path for path in found if self._is_file(path)]

    def entries(self, folder: Path) -> list[Path]:
        """What is in a folder, ascending; nothing if it is none."""
        try:
            return sorted(folder.iterdir(), key=lambda path: path.name)  # comparing paths takes ten times as long
        except PermissionError:
            self._note(folder)
        except OSError:
            pass
        return []

    def _is_file(self, path: Path) -> bool:
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except PermissionError:  # of a folder above it
            self._note(path)
        except OSError:
            pass
        return False

    def _note(self, path: Path) -> None:
        self.unread.add(f"/{path.relative_to(self.root)}")

    def text(self, path: Path) -> str:
        """The text of a file, as far as MOST_BYTES; empty if it cannot be read."""
        if self._left <= 0:
            self.unread.add(f"more than {MOST_FILES:,} files")
            return ""
        self._left -= 1
        try:
            with open(path, encoding="utf-8", errors="replace", opener=_at_once) as file:
                return file.read(MOST_BYTES)
        except OSError as error:
            if isinstance(error, PermissionError):
                self._note(path)
            return ""


def _at_once(file: str, flags: int) -> int:
    """Open without waiting for the writer of a FIFO."""
    return os.open(file, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_claims(root: Path = ROOT) -> tuple[list[Claim], list[str]]:
    """The ports that files below the root name, and the files that this user may not read."""
    files = HostFiles(root)
    found = [
        *_configured(files),
        *_units(files, "system"),
        *_units(files, "user"),
        *_kubernetes(files),
        *_docker(files),
    ]
    return found, sorted(files.unread)


def _claims(ports: Iterable[range], by: str) -> Iterator[Claim]:
    return (Claim(each.start, each.stop - 1, by) for each in ports)


def _configured(files: HostFiles) -> Iterator[Claim]:
    """The ports that programs' own files name; of a program whose files name none, its usual ones."""
    for row in PROGRAM_FILES:
        paths = [path for pattern in row.files for path in files.matching(pattern)]
        named = {path: list(named_ports(row, files.text(path))) for path in paths}
        for path, ports in named.items():
            yield from _claims(ports, f"{row.program} (/{path.relative_to(files.root)})")
        if paths and not any(named.values()):
            yield from _claims((range(port, port + 1) for port in row.usual), f"{row.program} (usual port)")


def _units(files: HostFiles, manager: str) -> Iterator[Claim]:
    """The ports of the socket and service units of one service manager, `system` or `user`."""
    folders = [place.format(manager) for place in PLACES]
    if manager == "user" and files.root == ROOT:
        with suppress(RuntimeError):
            folders.insert(0, str((Path.home() / ".config/systemd/user").relative_to(ROOT)))
    units_found: dict[str, Path] = {}
    added: dict[str, dict[str, Path]] = {}
    instances: dict[str, set[str]] = {}
    for folder in folders:
        for path in files.entries(files.root / folder):
            if path.suffix in (".socket", ".service"):
                units_found.setdefault(path.name, path)
            elif path.name.endswith((".socket.d", ".service.d")):
                for more in files.entries(path):
                    if more.suffix == ".conf":
                        added.setdefault(path.name.removesuffix(".d"), {}).setdefault(more.name, more)
            elif path.name.endswith((".wants", ".requires", ".upholds")):
                for wanted in files.entries(path):
                    template, at, instance = wanted.stem.partition("@")
                    if at and instance:
                        instances.setdefault(f"{template}@{wanted.suffix}", set()).add(instance)
    for name, path in units_found.items():
        template, at, instance = path.stem.partition("@")
        names = {name, f"{template}@{path.suffix}"} if at else {name}
        extra = {file.name: file for each in sorted(names) for file in added.get(each, {}).values()}
        texts = [files.text(path), *(files.text(extra[each]) for each in sorted(extra))]
        if not texts[0]:  # masked: a link to /dev/null, or an empty file
            continue
        for each in sorted(instances.get(name, ())) if at and not instance else [instance]:
            yield from _claims(_ports_of_unit(files, name, texts, each), _named(name, each))


def _named(name: str, instance: str) -> str:
    return name if not instance or f"@{instance}" in name else name.replace("@", f"@{instance}")


def _ports_of_unit(files: HostFiles, name: str, texts: Sequence[str], instance: str) -> Iterator[range]:
    unit = units.assignments(texts)
    if name.endswith(".socket"):
        return units.listen_ports(unit, instance)
    paths = [value.removeprefix("-").replace("%i", instance) for value in unit.get("EnvironmentFile", ())]
    more = [files.text(files.root / path.lstrip("/")) for path in paths if path.startswith("/")]
    return units.command_ports(unit, more, instance)


def _kubernetes(files: HostFiles) -> Iterator[Claim]:
    """The range of NodePorts, which have no listener, and the ports of the kubelet."""
    proc = files.root / "proc"
    lines = [text_of(path.parent / "cmdline") for path in proc.glob("[0-9]*/comm") if _is_kubernetes(text_of(path))]
    if lines or any(os.path.exists(files.root / folder) for folder in KUBERNETES_FOLDERS):
        texts = [files.text(path) for pattern in KUBERNETES_FILES for path in files.matching(pattern)]
        yield from _claims([node_ports([*lines, *texts])], "Kubernetes NodePorts")
        yield from _claims([range(port, port + 1) for port in KUBELET_PORTS], "kubelet")


def _is_kubernetes(comm: str) -> bool:
    return comm.strip() in KUBERNETES or comm.startswith("k3s")


def _docker(files: HostFiles) -> Iterator[Claim]:
    """The ports that containers publish, running or not, and Swarm's range."""
    for folder in files.entries(files.root / "var/lib/docker/containers"):
        text = files.text(folder / "hostconfig.json")
        with suppress(ValueError, AttributeError, TypeError):
            bindings: Mapping[str, Sequence[Mapping[str, str]]] = msgspec.json.decode(text).get("PortBindings") or {}
            for host in (host for each in bindings.values() for host in each or ()):
                yield from _claims(units.ports_in(host.get("HostPort", "")), f"Docker container {folder.name[:12]}")
    if os.path.exists(files.root / "var/lib/docker/swarm/state.json"):
        yield from _claims([NODE_PORTS], "Docker Swarm")
