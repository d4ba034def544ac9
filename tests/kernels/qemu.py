"""A kernel of Debian's linux-image in qemu, an emulated machine: slow, but it boots any kernel.

Emulation is software alone, without KVM. The root file system is this machine's own, by virtiofs.
"""

import lzma
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fourtuple.core.errors import CannotError
from tests.kernels.available import Kernel
from tests.kernels.boot import MIB, Machine, started
from tests.kernels.packages import Package, Suite, mirrors
from tests.kernels.programs import PLACES
from tests.kernels.uml import free_bytes, memory_bytes

VIRTIOFSD = (Path("/usr/libexec/virtiofsd"), Path("/usr/lib/qemu/virtiofsd"))  # of its own package, and of qemu 7
MODULES = ("virtio_pci", "virtiofs")  # with what they need, for the root file system
PARTS_OF_IMAGE = ("linux-base-", "linux-binary-", "linux-modules-")  # what newer images consist of
SOCKET_S = 30.0
# cmpxchg16b of qemu 7.2 faults in kernels from 6.12 on, which would use it for slabs.
ARGUMENTS = ("console=ttyS0", "quiet", "panic=-1", "clearcpuid=cx16")
# The first process: it mounts this machine's files and gives the place to guest.sh.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox mount -t virtiofs root /root || echo "there is no virtiofs"
/bin/busybox mount --move /dev /root/dev
for word in $(/bin/busybox cat /proc/cmdline); do
  case $word in EXCHANGE=*) export "$word" ;; guest=*) init=${word#guest=} ;; esac
done
/bin/busybox umount /proc
exec /bin/busybox switch_root /root $init
"""


def prepare(kernel: Kernel, cache: Path, tell: Callable[[str], None]) -> Machine:
    """The machine of this kernel, whose packages are downloaded unless they are there. Raises CannotError."""
    server = next((path for path in VIRTIOFSD if path.exists()), None)
    if server is None:
        raise CannotError("a guest in qemu", "there is no virtiofsd", "Install virtiofsd (Debian 12: qemu-system-x86).")
    folder = cache / kernel.folder
    if not (folder / "initramfs").exists():
        _download(kernel, folder, cache, tell)
    modules = next(folder.glob("**/lib/modules/*"))
    image = next(iter([*folder.glob("boot/vmlinuz-*"), *modules.glob("vmlinuz")]))

    @contextmanager
    def start(words: Sequence[str], guest: Path) -> "Iterator[subprocess.Popen[str]]":
        options = "source=/,cache=always,announce_submounts,sandbox=chroot"
        with started([str(server), f"--socket-path={guest}/virtiofs", "-o", options]) as daemon:
            _wait_for(guest / "virtiofs", daemon)
            with started(_command(image, folder / "initramfs", guest, words)) as program:
                yield program

    version = (folder / "version").read_text()
    return Machine(version, modules.name, modules, start)


def _command(image: Path, initramfs: Path, guest: Path, words: Sequence[str]) -> list[str]:
    memory = f"{memory_bytes(free_bytes()) // MIB}M"
    # init= would be taken by the kernel itself, which then finds none in its initramfs
    append = " ".join([*ARGUMENTS, *(word.replace("init=", "guest=") for word in words)])
    machine = ["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-m", memory, "-smp", "2"]
    shared = ["-object", f"memory-backend-memfd,id=memory,size={memory},share=on", "-numa", "node,memdev=memory"]
    files = [
        "-chardev",
        f"socket,id=files,path={guest}/virtiofs",
        "-device",
        "vhost-user-fs-pci,chardev=files,tag=root",
    ]
    quiet = ["-nic", "none", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]
    boots = ["-kernel", str(image), "-initrd", str(initramfs), "-append", append]
    return ["qemu-system-x86_64", "-nodefaults", *machine, *shared, *files, *quiet, *boots]


def _wait_for(path: Path, daemon: "subprocess.Popen[str]") -> None:
    """Until the daemon listens there."""
    assert daemon.stdout is not None
    deadline = time.monotonic() + SOCKET_S
    while not path.exists():
        if daemon.poll() is not None or time.monotonic() > deadline:
            daemon.kill()
            raise CannotError("virtiofsd", " ".join(daemon.stdout.read().split())[-300:] or "it does not listen")
        time.sleep(0.05)


def _download(kernel: Kernel, folder: Path, cache: Path, tell: Callable[[str], None]) -> None:
    """Unpack the newest image of the series with its modules, and make the initramfs."""
    tell(f"downloading the newest linux-image {kernel.series} of {kernel.suite}")
    suite = Suite(kernel.suite, cache, mirrors())
    suite.update()
    images = suite.find(rf"linux-image-{kernel.series.replace('.', '[.]')}[.].*-cloud-amd64")
    if not images:
        raise CannotError(f"kernel {kernel.name}", f"{kernel.suite} has no linux-image of {kernel.series}")
    image = images[0]
    parts = [name for name in suite.needs(image) if name.startswith(PARTS_OF_IMAGE)]
    new = cache / f"{kernel.folder}.new"
    shutil.rmtree(new, ignore_errors=True)
    suite.unpack([image, *(Package(name, image.version) for name in parts)], new)
    (new / "version").write_text(image.version)
    _make_initramfs(new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _make_initramfs(folder: Path) -> None:
    """Of busybox, which is static, and the modules for the root file system."""
    modules = next(folder.glob("**/lib/modules/*"))
    root = modules.parent.parent.parent
    subprocess.run(["depmod", "-b", root, modules.name], check=True, env={"PATH": PLACES})
    tree = folder / "initramfs.d"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy(shutil.which("busybox", path=PLACES) or "busybox", tree / "bin" / "busybox")
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    order = load_order((modules / "modules.dep").read_text(), MODULES)
    for path in order:
        file = modules / path
        data = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        (tree / "modules" / module_name(path)).write_bytes(data)
    (tree / "modules" / "order").write_text("".join(f"{module_name(path)}\n" for path in order))
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"], input=names.encode(), stdout=subprocess.PIPE, cwd=tree, check=True
    )
    (folder / "initramfs").write_bytes(packed.stdout)


def load_order(dependencies: str, names: Sequence[str]) -> list[str]:
    """From the text of modules.dep: the files of these modules and of what they need, what is needed first.

    A name that is not there is built into the kernel.
    """
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in dependencies.splitlines())}
    order: list[str] = []
    for path in needs:
        if module_name(path) in names:
            order += [*reversed(needs[path]), path]
    return list(dict.fromkeys(order))


def module_name(path: str) -> str:
    """kernel/fs/fuse/virtiofs.ko.xz → virtiofs, with _ for -."""
    return Path(path).name.partition(".")[0].replace("-", "_")
