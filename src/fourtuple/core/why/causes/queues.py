"""Causes in which a server's kernel has no room for a new connection."""

from collections.abc import Iterator, Mapping

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.units import format_count, format_things
from fourtuple.core.why.scene import Bearing, Cause, Evidence, Numbers, Scene, counted, same

RESETS = "net.ipv4.tcp_abort_on_overflow"  # at 1 a full queue resets; at 0 it drops what comes (tcp(7))


def queue_sizes(scene: Scene) -> Numbers:
    if scene.local is False:  # the queues and settings are another host's
        return ()
    somaxconn = scene.world.number("net.core.somaxconn")
    return scene.queue.backlog_most + 1 if scene.queue else None, somaxconn and somaxconn + 1


def accept_queue(scene: Scene) -> Iterator[Evidence]:
    if scene.error == "ECONNRESET" and scene.world.number(RESETS) != 1:
        if scene.local is not False and scene.world.number(RESETS) == 0:
            yield Evidence(-2, f"a full accept queue here drops, and resets nothing: {RESETS} is 0")
        return
    if scene.full:
        yield Evidence(4, f"the accept queue is full now: {', '.join(scene.full)}")
    if scene.local is False:  # neither the settings nor the counters here are those of another host's listeners
        return
    longest = scene.queue.backlog_most + 1 if scene.queue else None
    yield from same(scene, longest, "the longest accept queue of a listener here", against=False)
    somaxconn = (scene.world.number("net.core.somaxconn") or 0) + 1
    yield from same(scene, somaxconn, "net.core.somaxconn + 1", against=False)
    dropped = scene.counter("ListenOverflows")
    weight = (0 if scene.full_elsewhere else 2) if dropped and scene.local else -1 if scene.local else 0
    yield Evidence(weight, f"ListenOverflows {format_count(dropped)} in this namespace so far")


def syn_queue(scene: Scene) -> Iterator[Evidence]:
    if scene.local or (scene.local is None and scene.bearing is Bearing.NOW):  # the counters are of listeners here
        yield from counted(scene, ("TCPReqQFullDrop", "TCPReqQFullDoCookies"))


def unix_backlog(scene: Scene) -> Iterator[Evidence]:
    if scene.unix is not None:
        text = f"waiting at {scene.unix.path}: {format_things(scene.unix.waiting, 'connection')}, backlog"
        yield Evidence(5 if scene.unix.is_full else -2, f"{text} {format_count(scene.unix.backlog)}")


QUEUES: Mapping[str, Cause] = {
    "accept-queue": Cause(
        "the accept queue is full: the server accepts too slowly, or listens with a short backlog",
        (
            Cure(
                "ss -lnt on the server shows Recv-Q above Send-Q; nstat -az TcpExtListenOverflows counts what is lost"
            ),
            Cure(
                "accept faster: more workers or threads in the server, or less work before accept()",
                "more memory and CPU",
                Needs.SETTING,
            ),
            Cure(
                "raise the backlog in the server's settings, then net.core.somaxconn; restart the server",
                "clients wait longer instead of failing if the server stays too slow",
                Needs.ROOT,
            ),
            Cure("connect at a lower rate, or reuse connections", needs=Needs.SETTING),
        ),
        accept_queue,
        queue_sizes,
    ),
    "syn-queue": Cause(
        "the SYN queue is full, or this is a SYN flood",
        (
            Cure("ss -tan state syn-recv shows from whom: few addresses are a flood or one client, many are load"),
            Cure(
                "sysctl -w net.ipv4.tcp_syncookies=1",
                "connections that are accepted by a cookie lose window scaling where timestamps are off",
                Needs.ROOT,
            ),
            Cure(
                "raise the server's backlog, then net.core.somaxconn and net.ipv4.tcp_max_syn_backlog", "", Needs.ROOT
            ),
        ),
        syn_queue,
    ),
    "unix-backlog": Cause(
        "the backlog of the Unix socket is full: the server behind it accepts too slowly, so connect() fails at once",
        (
            Cure("ss -xl shows Recv-Q (waiting) and Send-Q (backlog) of the socket"),
            Cure(
                "give the server behind it more workers: pm.max_children of php-fpm, workers of gunicorn or uWSGI",
                "more memory per worker",
                Needs.SETTING,
            ),
            Cure(
                "raise its backlog (listen.backlog of php-fpm, --backlog), then net.core.somaxconn, and restart it",
                "requests wait longer instead of failing if the server stays too slow",
                Needs.ROOT,
            ),
            Cure("use TCP instead: there connect() waits and tries again", "takes source ports", Needs.SETTING),
        ),
        unix_backlog,
    ),
    "bsd-backlog": Cause(
        "FreeBSD or macOS: the listen queue of a socket is full (1.5 times its backlog)",
        (
            Cure("netstat -Lan shows the queues: waiting, of these incomplete, and the most"),
            Cure(
                "raise the backlog in the server, then sysctl kern.ipc.soacceptqueue (macOS: kern.ipc.somaxconn)",
                "",
                Needs.ROOT,
            ),
            Cure("accept faster: more workers in the server", "more memory and CPU", Needs.SETTING),
        ),
    ),
}
