"""The programs that a guest, or booting one, takes: installed where this process is root, else named."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping

from fourtuple.core.errors import CannotError

INSTALL_S = 600
GUEST = {"modprobe": "kmod", "ip": "iproute2", "ss": "iproute2", "nft": "nftables"}
UML = GUEST | {"patchelf": "patchelf"}
QEMU = GUEST | {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "depmod": "kmod"}
PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def need_programs(programs: Mapping[str, str], tell: Callable[[str], None]) -> None:
    """Install the packages of programs that are missing.

    programs: program → its package of Debian

    Raises CannotError if they cannot be installed.
    """
    missing = sorted({package for program, package in programs.items() if not shutil.which(program, path=PLACES)})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotError(f"programs of {', '.join(missing)}", "they are not installed", f"Run `{' '.join(command)}`.")
    tell(f"installing {', '.join(missing)}")
    subprocess.run(["apt-get", "update", "-qq"], check=False, timeout=INSTALL_S)
    done = subprocess.run(
        command, check=False, timeout=INSTALL_S, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    )
    if done.returncode:
        raise CannotError(f"`{' '.join(command)}`", f"exit code {done.returncode}")
