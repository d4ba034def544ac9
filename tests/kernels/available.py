"""Which kernels can be had: the name that a user types, the way it boots, and the suites of Debian that package it."""

from dataclasses import dataclass
from pathlib import Path

from fourtuple.core.backports import StrEnum
from fourtuple.core.errors import UsageError


class Way(StrEnum):
    UML = "user-mode Linux"  # the kernel as a process of this host
    QEMU = "qemu"  # an emulated machine, without KVM
    OWN = "user-mode Linux, own build"  # a binary that the user names


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel to boot.

    name:   what the user types: `6.1`, `qemu:6.1`, or the path of a binary
    series: the beginning of its release, such as 6.1; empty: an own binary, which says its release itself
    suite:  the suite of Debian that has its package
    """

    name: str
    way: Way
    series: str = ""
    suite: str = ""

    @property
    def folder(self) -> str:
        """A name for its files."""
        return self.name.replace("/", "_").replace(":", "-")


UML_SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", "7.2": "forky"}
QEMU_SUITES = {
    "5.10": "bullseye-security",
    "6.1": "bookworm-security",
    "6.12": "trixie",
    "6.16": "trixie-backports",
    "6.17": "trixie-backports",
    "6.18": "trixie-backports",
    "6.19": "trixie-backports",
    "7.0": "trixie-backports",
    "7.1": "trixie-backports",
    "7.2": "trixie-backports",
    "7.3": "trixie-backports",
}
KERNELS = (
    *(Kernel(series, Way.UML, series, suite) for series, suite in UML_SUITES.items()),
    *(Kernel(f"qemu:{series}", Way.QEMU, series, suite) for series, suite in QEMU_SUITES.items()),
)
# What people run and Debian does not package, and what was tried instead.
MISSING = {
    "5.4": "no suite of Debian has it (Ubuntu 20.04 has); tried as an own build of user-mode Linux",
    "5.15": "no suite of Debian has it (Ubuntu 22.04 has); bullseye-backports, which had newer ones, is archived;"
    " tried as an own build",
    "6.6": "no suite of Debian has it; trixie-backports begins at 6.16; tried as an own build",
    "6.8": "no suite of Debian has it (Ubuntu 24.04 has); tried as an own build",
}


def kernel_named(name: str) -> Kernel:
    """The kernel that the user means. Raises UsageError."""
    for kernel in KERNELS:
        if kernel.name == name:
            return kernel
    if "/" in name:
        if not Path(name).is_file():
            raise UsageError(f"kernel {name}", "there is no such file", "Name a binary of user-mode Linux.")
        return Kernel(str(Path(name).resolve()), Way.OWN)
    names = ", ".join(kernel.name for kernel in KERNELS)
    raise UsageError(f"kernel {name!r}", MISSING.get(name, ""), f"Use one of {names}, or the path of a binary.")
