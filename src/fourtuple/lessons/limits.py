"""Limits can be predicted: each limit is set low, `fourtuple limits` predicts what remains, and that is what fits."""

import errno
import os
import resource
import socket
from collections.abc import Iterator

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Limits
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.ranges import Ranges
from fourtuple.lessons.stage import HERE, IP_BIND_ADDRESS_NO_PORT, RESET, Demonstration, Stage
from fourtuple.verbs.lab import open_files, set_reserved_ports
from fourtuple.verbs.limits import limits

CLAIM = "fourtuple limits predicts which limit is reached, and at which number"

PORTS, RESERVED, BACKLOG, FILES = 24, 3, 5, 10
Rows = Iterator[tuple[str, str, str]]  # what was set, predicted, observed


def show(stage: Stage) -> Demonstration:
    rows = [*_accept_queue(stage), *_files(stage)]
    note = "limits set by sysctls were left out: they would apply to the whole host"
    if stage.private:
        try:
            rows += _ports(stage)
            note = ""
        except OSError as error:
            note = f"limits set by sysctls were left out: /proc/sys is not writable ({error.strerror})"
    return Demonstration(
        did=f"run fourtuple limits, then open connections until one fails: to a server with listen({BACKLOG}); with"
        f" {FILES} open files left; with source ports 40000-40023, from {HERE} to {HERE}:8001",
        predicted={what: predicted for what, predicted, _ in rows},
        observed={what: observed for what, _, observed in rows},
        note=note,
    )


def _accept_queue(stage: Stage) -> Rows:
    with socket.create_server((HERE, stage.port(8000)), backlog=BACKLOG) as server:
        verdicts = limits(pid=os.getpid(), role=Role.SERVER).verdicts
        room = next((verdict.room for verdict in verdicts if verdict.limit == "net.core.somaxconn"), None)
        if room is None:  # without sock_diag: /proc does not report backlogs
            return
        count = 0
        while True:
            client = stage.client()
            client.settimeout(0.5)  # the dropped SYN would be retransmitted after 1 s
            try:
                client.connect(server.getsockname())
            except TimeoutError:
                break
            count += 1
        stage.release()
    yield f"accept queue of listen({BACKLOG})", f"{room}, no answer", f"{count}, no answer"


def _ports(stage: Stage) -> Rows:
    ports = stage.set_range(PORTS)  # no option of a socket, which `limits` cannot know
    wall = stage.listen(8001)
    yield f"{PORTS} source ports", _predicted([wall]), _observed(stage, wall)
    set_reserved_ports(Ranges([ports[:RESERVED]]))
    yield f"{RESERVED} of these reserved", _predicted([wall]), _observed(stage, wall)
    predicted = _predicted([wall], sources=[HERE], strategy=Strategy.BIND0)
    count, stopped_by = stage.fill(wall, lambda sock: sock.bind((HERE, 0)))
    stage.release()
    yield "bind(address, 0) first", predicted, f"{count}, {stopped_by.removeprefix('bind: ')}"
    inside = stage.listen(ports[-1], "127.0.0.9")
    yield "a listener on one of these", _predicted([wall]), _observed(stage, wall)
    predicted = _predicted([wall, inside], sources=["127.0.0.1-2"])
    fills = [_fill_from(stage, source, to) for to in (wall, inside) for source in (HERE, "127.0.0.2")]
    stage.release()
    yield "2 sources, 2 destinations", predicted, f"{sum(count for count, _ in fills)}, {fills[0][1]}"


def _predicted(to: list[Endpoint], **how: object) -> str:
    """The prediction of `limits --probe`: older kernels do not list the sockets that are only bound."""
    return _answer(limits([str(each) for each in to], probe=True, **how))  # type: ignore[arg-type]


def _answer(limits: Limits) -> str:
    return f"{limits.room}, {limits.tightest.errno if limits.tightest else 'no limit'}"


def _observed(stage: Stage, to: Endpoint) -> str:
    count, stopped_by = stage.fill(to)
    stage.release()
    return f"{count}, {stopped_by}"


def _fill_from(stage: Stage, source: str, to: Endpoint) -> tuple[int, str]:
    def bind_late(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))

    return stage.fill(to, bind_late)


def _files(stage: Stage) -> Rows:
    server = stage.listener(8002)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + FILES, hard))
    predicted = _answer(limits([str(stage.endpoint_of(server))], pid=os.getpid()))
    clients: list[socket.socket] = []
    try:
        while True:
            clients.append(socket.socket())
            clients[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            clients[-1].connect(server.getsockname())
    except OSError as error:
        observed = f"{len(clients)}, {errno.errorcode[error.errno or 0]}"
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield f"{FILES} open files left", predicted, observed
