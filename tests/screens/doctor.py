"""What `doctor` says of hosts: one that lacks much, one that is well, one that only was unwell; and the page."""

from dataclasses import replace
from typing import Any

from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.doctor.records import Diagnosis
from fourtuple.core.snapshot.records import Cgroup, HostAddress, UnixListener
from fourtuple.core.sockets.table import State
from fourtuple.faces.page.doctor import doctor_page
from fourtuple.faces.text.doctor import doctor_lines
from tests.core.doctor.hosts import FACTS, LOW, both, connections, listener, snapshot
from tests.screens.report import _words

POD = "/kubepods/pod1/web"
ILL: dict[str, Any] = {
    "cgroups": {POD: Cgroup(POD, pod="shop/web-1", container="ab12", name="web", oom_kills=2)},
    "cgroup": POD,
    "process": {"cgroup": POD, "files_open": 950, "files_hard": 4096},
    "ports": replace(FACTS, port_range=range(LOW, LOW + 200)),
    "sysctls": {"net.core.somaxconn": "4096", "net.ipv4.tcp_syncookies": "1"},
    "counters": {"ListenOverflows": 1200, "nf_conntrack.insert_failed": 12},
    "unix": (UnixListener("/run/php/php-fpm.sock", 512, 511, 812),),
    "addresses": (HostAddress("2001:db8::4", 64, "eth0", tentative=True),),
    "unseen": ("which sockets and inotify instances 212 processes have that this user may not inspect",),
    **both(connections(180, State.TIME_WAIT), connections(20, first=LOW + 180)),
    **listener(128, 128, drops=1200),
}


def _lines(diagnosis: Diagnosis, *, everything: bool = False) -> str:
    return "\n".join(doctor_lines(diagnosis, everything=everything))


def _later() -> Diagnosis:
    """Counters that moved within ten seconds."""
    before = snapshot(counters={"ListenOverflows": 1200}, **listener(0, 128))
    now = snapshot(counters={"ListenOverflows": 1260}, **listener(3, 128, drops=1260))
    return diagnose(replace(now, at_s=before.at_s + 10), before)


SCREENS = {
    "findings": lambda: _lines(diagnose(snapshot(**ILL))),
    "nothing": lambda: _lines(diagnose(snapshot())),
    "so-far": lambda: _lines(diagnose(snapshot(counters={"TCPTimeWaitOverflow": 7}))),
    "for-10s": lambda: _lines(_later()),
    "follows": lambda: _lines(diagnose(snapshot(process={"files_open": 1000}, **listener(129, 128)))),
    "from-a-file": lambda: _lines(diagnose(replace(snapshot(process={"files_open": 1000}), source="node.snapshot"))),
    "page": lambda: _words(doctor_page(diagnose(snapshot(**ILL))), rows=True),
}
