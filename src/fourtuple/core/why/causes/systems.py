"""Causes on other systems than Linux."""

from collections.abc import Mapping

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.why.causes.ports import MORE_SOURCES, REUSE
from fourtuple.core.why.scene import Cause

MORE_DYNAMIC = Cure(
    "netsh int ipv4 set dynamicport tcp start=10000 num=55535",
    "endangers services that listen in the new range: exclude their ports first (netsh int ipv4 add excludedportrange)",
    Needs.ROOT,
)
WHO_HAS_THEM = Cure(
    "Get-NetTCPConnection | group State,OwningProcess shows which process has them",
)

SYSTEMS: Mapping[str, Cause] = {
    "windows-ports": Cause(
        "Windows: the 16,384 dynamic ports, 49152-65535, are used up; TIME_WAIT lasts 2 to 4 minutes",
        (
            REUSE,
            WHO_HAS_THEM,
            MORE_SOURCES,
            MORE_DYNAMIC,
            Cure(
                "TcpTimedWaitDelay=30 in the registry (Tcpip\\Parameters)",
                "late segments may meet a new connection",
                Needs.RESTART,
            ),
        ),
    ),
    "windows-excluded": Cause(
        "Windows: the port is in an excluded range, which Hyper-V, WSL or Docker reserve, or is held exclusively",
        (
            Cure("netsh int ipv4 show excludedportrange protocol=tcp shows the ranges"),
            Cure("use a port outside of them", "", Needs.SETTING),
            Cure(
                "net stop winnat, start the program, net start winnat",
                "containers and WSL lose their network meanwhile",
                Needs.ROOT,
            ),
            Cure(
                "netsh int ipv4 add excludedportrange protocol=tcp startport=PORT numberofports=1 keeps it for you",
                "after a restart, before Hyper-V takes it",
                Needs.ROOT,
            ),
        ),
    ),
    "windows-buffers": Cause(
        "Windows: no buffers or no dynamic ports are left for sockets (WSAENOBUFS, 10055)",
        (
            WHO_HAS_THEM,
            Cure("Event viewer, System, Tcpip 4227 and 4231: there, ports were used up"),
            REUSE,
            MORE_DYNAMIC,
            Cure(
                "restart the program with the most handles: it leaks sockets or nonpaged memory",
                "its connections end",
                Needs.RESTART,
            ),
        ),
    ),
    "bsd-files": Cause(
        "FreeBSD or macOS: the limit of open files is reached (kern.maxfiles, maxfilesperproc; macOS starts at 256)",
        (
            Cure("ulimit -n 10240 in the shell; launchctl limit maxfiles on macOS", "", Needs.RESTART),
            Cure("sysctl kern.maxfiles=… kern.maxfilesperproc=…", "more kernel memory", Needs.ROOT),
            Cure("find what leaks: fstat or lsof -p PID"),
        ),
    ),
    "other-system": Cause(
        "macOS, FreeBSD or Windows: 16,384 ports, from 49152 on; TIME_WAIT lasts 30 s, on Windows up to 4 min",
        (
            REUSE,
            Cure(
                "macOS, FreeBSD: sysctl net.inet.ip.portrange.first=32768",
                "endangers servers that listen there",
                Needs.ROOT,
            ),
            MORE_DYNAMIC,
        ),
    ),
}
