"""What `snapshot` says, and the first line of an answer from one."""

from dataclasses import replace

from fourtuple.core.snapshot.answers import Recorded
from fourtuple.core.snapshot.fold import ListenerRow, SocketGroup, expand, expand_listeners
from fourtuple.core.snapshot.pastes.paste import paste
from fourtuple.core.snapshot.records import HostNamespace, HostProcess, Snapshot
from fourtuple.faces.text.origin import origin_lines
from fourtuple.faces.text.snapshot import moment_line, recorded_lines, recording_line, snapshot_lines
from fourtuple.verbs.snapshot import RecordedMoment

FILE = "web1.snapshot"
SOCKETS, PIDS = expand([SocketGroup("ESTABLISHED", "10.0.0.4", "32768-40000", 7233, "10.0.0.9", 443, pid=812)])
LISTENERS, LISTENER_PIDS = expand_listeners([ListenerRow("0.0.0.0", 80, pid=812)])
INSIDE = HostNamespace(
    "net:[4026531840]",
    sockets=SOCKETS,
    socket_pids=PIDS,
    listeners=LISTENERS,
    listener_pids=LISTENER_PIDS,
    read_from="sock_diag",
)
HOST = Snapshot(
    1_767_323_045.0,
    host="web1",
    kernel="6.1.0",
    uid=0,
    source=FILE,
    namespaces={INSIDE.netns: INSIDE},
    processes={812: HostProcess(812, "proxy")},
)
LIMITED = replace(HOST, uid=1000, unseen=("the network namespaces of 3 processes of other users: root may enter them",))


def _of_paste() -> str:
    found = paste("root@web2:~# ss -s\nTCP:   9 (estab 1, closed 8, orphaned 0, timewait 8)\n")
    assert found is not None
    return "\n".join(origin_lines(Recorded(found).origin))


SCREENS = {
    "written": lambda: "\n".join(snapshot_lines(HOST, FILE, 36_044)),
    "as-a-user": lambda: "\n".join(snapshot_lines(LIMITED, FILE, 36_044)),
    "to-standard-output": lambda: "\n".join(snapshot_lines(HOST, "-", 36_044)),
    "recording": lambda: "\n".join(
        [
            recording_line("web1.recording", 10, 3600),
            moment_line(RecordedMoment(HOST, 41_000, 41_000, 1, None)),
            moment_line(RecordedMoment(HOST, 41_000, 4_100_000, 100, 0.004)),
            *recorded_lines("web1.recording", RecordedMoment(HOST, 41_000, 4_100_000, 100, 0.004)),
        ]
    ),
    "origin": lambda: "\n".join(origin_lines(Recorded(HOST).origin)),
    "origin-of-a-paste": _of_paste,
}
