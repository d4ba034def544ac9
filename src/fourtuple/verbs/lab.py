"""A place to try things: private network namespaces, the cable between two of them, and what can be set inside."""

import shutil
import subprocess
from collections.abc import Sequence

from fourtuple.core.errors import CannotError
from fourtuple.core.facts import HostFacts
from fourtuple.core.ranges import Ranges
from fourtuple.core.topology import Cable, up
from fourtuple.kernel import procfs, sockopts
from fourtuple.kernel.netns import Namespace


class Lab(Namespace):
    """A private network namespace, loopback up, gone when it is closed. Raises CannotError where none is allowed."""

    def join(self, cable: Cable) -> None:
        """Lay the cable from this process's namespace (near) to the lab (far). Raises CannotError without `ip`."""
        _ip(cable.connect(self.pid), [])
        _ip(up(cable.far), self.command([]))


def namespace_refusal() -> str | None:
    """Why this user cannot have a private network namespace here; None where one can be had."""
    try:
        with Namespace():
            return None
    except CannotError as error:
        return error.stopped_by


def facts() -> HostFacts:
    """What decides how many connections this process can open, in the namespace it is in."""
    return procfs.read_host_facts()


def set_port_range(ports: range) -> None:
    """net.ipv4.ip_local_port_range of this process's namespace. Raises OSError where it may not be set."""
    procfs.write_sysctl("net.ipv4.ip_local_port_range", f"{ports.start} {ports.stop - 1}")


def set_reserved_ports(ports: Ranges) -> None:
    """net.ipv4.ip_local_reserved_ports of this process's namespace. Raises OSError where it may not be set."""
    procfs.write_sysctl("net.ipv4.ip_local_reserved_ports", str(ports))


def port_range_is_quick() -> bool:
    """Does IP_LOCAL_PORT_RANGE keep connect() fast past half of the range, in this kernel?"""
    return sockopts.port_range_is_quick(facts().kernel_version)


def _ip(script: Sequence[str], prefix: Sequence[str]) -> None:
    if shutil.which("ip") is None:
        raise CannotError("two hosts joined by a cable", "the program `ip` is not here", "Install iproute2.")
    text = "\n".join(script) + "\n"
    done = subprocess.run([*prefix, "ip", "-batch", "-"], input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise CannotError("two hosts joined by a cable", done.stderr.strip())
