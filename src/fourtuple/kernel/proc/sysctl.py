"""Writing a sysctl. On its own, because a namespace's holder does that and must not import NumPy."""

from pathlib import Path

PROC = Path("/proc")


def write_sysctl(name: str, value: str, proc: Path = PROC) -> None:
    """`net.ipv4.ip_local_port_range`, `40000 40099`. Raises OSError, which names the file."""
    file = proc / "sys" / name.replace(".", "/")
    try:
        file.write_text(value)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} for {value!r}", str(file)) from None
