"""Names of kernels, packages and results: what needs no guest."""

from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError, UsageError
from tests.kernels.available import KERNELS, MISSING, Way, kernel_named
from tests.kernels.boot import hidden
from tests.kernels.packages import Package, newest_first, parse_depends, parse_madison, parse_targets
from tests.kernels.qemu import load_order
from tests.kernels.uml import LEAST_BYTES, MOST_BYTES, has_amx, memory_bytes

MADISON = """
linux-image-6.1.0-9-cloud-amd64 | 6.1.27-1 | http://a bookworm-security/main amd64 Packages
linux-image-6.1.0-50-cloud-amd64 | 6.1.176-1 | http://a bookworm-security/main amd64 Packages
linux-image-6.1.0-50-cloud-amd64 | 6.1.176-1 | http://a bookworm-security/main i386 Packages
"""
SHOWN = """Package: linux-image-7.3
Version: 7.3.4-1
Depends: dracut | initramfs-tools (>= 0.1), linux-base-7.3 (= 7.3.4-1), linux-binary-7.3 (= 7.3.4-1), kmod
Description: none, and more
"""
TARGETS = """Debian|Debian|http://a/debian/
Debian|Debian-Security|http://a/debian-security/
Somebody|Else|http://b/
"""
DEPENDENCIES = """kernel/fs/fuse/fuse.ko:
kernel/fs/fuse/virtiofs.ko.xz: kernel/fs/fuse/fuse.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio.ko:
"""


def test_names_say_the_way_and_the_series() -> None:
    """No name is used twice, and none is of a kernel that cannot be had."""

    assert kernel_named("6.1").way is Way.UML
    assert (kernel_named("qemu:6.12").way, kernel_named("qemu:6.12").series) == (Way.QEMU, "6.12")
    assert len({kernel.name for kernel in KERNELS}) == len({kernel.folder for kernel in KERNELS}) == len(KERNELS)
    assert not MISSING.keys() & {kernel.name for kernel in KERNELS}


def test_a_binary_is_named_by_its_path(tmp_path: Path) -> None:
    binary = tmp_path / "linux"
    binary.touch()

    assert kernel_named(str(binary)).way is Way.OWN
    with pytest.raises(UsageError, match="no such file"):
        kernel_named(str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["5.15", "2.4", "qemu:", ""])
def test_a_kernel_that_cannot_be_had_is_refused_with_those_that_can(name: str) -> None:
    with pytest.raises(UsageError, match=r"qemu:6\.12") as caught:
        kernel_named(name)
    assert MISSING.get(name, "") in str(caught.value)


def test_what_apt_prints_is_read() -> None:
    """Of repositories, only Debian's; of a package in several lists, one; of alternatives, the first."""

    assert parse_targets(TARGETS) == {"Debian": "http://a/debian/", "Debian-Security": "http://a/debian-security/"}
    assert [package.version for package in parse_madison(MADISON)] == ["6.1.27-1", "6.1.176-1"]
    assert parse_depends(SHOWN) == ["dracut", "linux-base-7.3", "linux-binary-7.3", "kmod"]
    assert parse_depends("Package: x") == []


def test_versions_are_ordered_by_their_numbers() -> None:
    """As dpkg does it: 6.1.176 after 6.1.27, and what has a ~ before what has not."""
    versions = ["6.1.27-1", "6.1.176-1~bpo12+1", "6.1.176-1", "6.1.176-2", "6.1.9-1"]
    ordered = [package.version for package in newest_first(Package("linux", version) for version in versions)]

    assert ordered == ["6.1.176-2", "6.1.176-1", "6.1.176-1~bpo12+1", "6.1.27-1", "6.1.9-1"]


def test_modules_are_loaded_after_what_they_need() -> None:
    order = [Path(path).name for path in load_order(DEPENDENCIES, ["virtio_pci", "virtiofs", "built_in"])]

    assert order == ["virtio.ko", "fuse.ko", "virtiofs.ko.xz", "virtio_ring.ko", "virtio_pci.ko.xz"]


def test_what_the_guest_hides_is_bound_again() -> None:
    """The guest has its own /tmp: a project there, but not twice; nothing else."""
    paths = [Path("/tmp/a/b"), Path("/tmp/a"), Path("/usr"), Path("/tmpfoo"), Path("/var/tmp/c")]  # noqa: S108

    assert hidden(paths) == [Path("/tmp/a"), Path("/var/tmp/c")]  # noqa: S108


def test_the_guests_memory_is_what_there_is() -> None:
    assert memory_bytes(100 * MOST_BYTES) == MOST_BYTES
    assert memory_bytes(2 * LEAST_BYTES) == LEAST_BYTES * 3 // 2
    with pytest.raises(CannotError, match="MiB free"):
        memory_bytes(LEAST_BYTES)


def test_a_processor_with_amx_is_known_by_its_flags() -> None:
    assert has_amx("flags\t\t: fpu amx_bf16 amx_tile amx_int8")
    assert not has_amx("flags\t\t: fpu avx512f")
