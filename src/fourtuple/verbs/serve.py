"""`serve`: accept connections on any number of addresses and ports."""

import errno
import socket
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errnos import name_of, symptom_of
from fourtuple.core.errors import FourtupleError, ShortfallError, UsageError
from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.core.runs.orders import LoopName, Watch
from fourtuple.core.runs.records import Counters, Event, Sample, ServeRecord
from fourtuple.core.runs.start import Planned
from fourtuple.core.sockets.table import Sockets, State
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec
from fourtuple.engine.control import Control, interruptible, now_ns
from fourtuple.engine.crews.choose import crew_of
from fourtuple.engine.crews.contract import Crew, Work
from fourtuple.engine.loops.choose import Choice, choose
from fourtuple.engine.workloads.serve import ServeJob
from fourtuple.engine.workloads.serve import serve as serve_work
from fourtuple.kernel import addresses, process
from fourtuple.kernel.netlink.sockdiag import fold_sockets
from fourtuple.kernel.proc import host
from fourtuple.verbs.observer import Observer
from fourtuple.verbs.start import start_of
from fourtuple.verbs.watch import Lookout

BACKLOG = 65535  # as much as net.core.somaxconn allows: listen(2) clips it


def serve(
    where: Sequence[str],
    *,
    greet: str = "",
    echo: bool = False,
    close_after_s: float | None = None,
    backlog: int = BACKLOG,
    workers: int | None = None,
    serve_s: float | None = None,
    reset: bool = False,
    log: bool = False,
    loop: LoopName = LoopName.AUTO,
    watch: Watch = Watch.POLL,
) -> Generator[Sample, None, ServeRecord]:
    """Accept on HOST:PORT[-PORT]…, for `serve_s` or until Ctrl-C; the first sample comes when all are listening.

    greet:         sent to each client at once
    close_after_s: close each connection after that long; None keeps it until the client goes
    workers:       processes; None starts with one and doubles them whenever the limit of open files fills them up,
                   which it does not with the ring
    reset:         close by RST, else by FIN
    watch:         how it is noticed that a client has closed; polling costs each about 250 bytes

    Raises this process's soft limit of open files to the hard one.
    Raises UsageError or ShortfallError where it cannot listen on all of them.
    """
    if echo and watch is not Watch.POLL:
        raise UsageError(f"--watch {watch} with --echo", "what comes in is seen by polling only")
    soft_before, _ = process.raise_soft_files()
    facts = host.read_host_facts()
    with ExitStack() as open_until_the_end:
        listeners = _listen(where, backlog, open_until_the_end)
        job = ServeJob(greet.encode(), echo, close_after_s, reset, log, watch is Watch.POLL)
        choice = choose(loop, log=log)
        workers = workers or (1 if choice.name == LoopName.RING else None)
        work = partial(_serve_here, job, listeners, choice)
        crew = crew_of(workers, log=log)
        for _ in range(workers or 1):
            crew.add(work)
        planned = Planned(tuple(where), choice.name, choice.because, workers, serve_s)
        start = start_of("serve", facts, soft_before=soft_before, planned=planned)
        observer = Observer(facts.memory, ends=1)
        until_ns = None if serve_s is None else start.at_ns + int(serve_s * 1e9)
        most_open, moved, grow = 0, 0, workers is None
        last_open: Sample | None = None
        ports = np.array([listener.getsockname()[1] for listener in listeners], np.uint16)
        lookout = Lookout(watch, partial(_accepted_on, ports), crew.control)
        with interruptible(crew.control):
            for sample in crew.samples():
                moves = sample.opened + sample.lost
                yield replace(sample, start=start, seen=observer.look(busy=moves != moved))
                moved = moves
                most_open = max(most_open, sample.open)
                if not crew.control.closing:
                    last_open = sample
                    lookout.look(sample.open)
                    if grow and _full(sample):
                        grow = _add_workers(crew, work, sample.workers)
                if crew.control.stopping or (until_ns is not None and now_ns() >= until_ns):
                    crew.control.close()
            return ServeRecord(
                listening=tuple(where),
                accepted=sample.opened,
                most_open=most_open,
                open=last_open.open if last_open else 0,
                closed=sample.closed,
                lost=sample.lost,
                lost_by=dict(sample.lost_by),
                failed=dict(sample.failed),
                greeted=sample.greeted,
                received_bytes=sample.received_bytes,
                sent_bytes=sample.sent_bytes,
                listen_overflows=observer.grown("ListenOverflows"),
                moved=observer.moved(),
                elapsed_s=round((sample.at_ns - start.at_ns) / 1e9, 3),
                interrupted=crew.control.interrupted,
                loop=choice.name,
                loop_because=choice.because,
                workers=sample.workers,
                workers_killed=crew.killed,
                rss_bytes=sample.rss_bytes,
                cpu_user_s=round(sample.cpu_user_s, 3),
                cpu_system_s=round(sample.cpu_system_s, 3),
            )


def _add_workers(crew: Crew, work: Work, count: int) -> bool:
    """`count` workers more → can there be still more?"""
    try:
        for _ in range(count):
            crew.add(work)
    except ShortfallError:  # what has come so far is served; what is beyond waits in the queue, and the record shows it
        return False
    return True


def _full(sample: Sample) -> bool:
    """Is it time for more workers? A little early, so that the queue does not overflow while they start."""
    return sample.capacity > 0 and sample.open >= sample.capacity - min(4096, sample.capacity // 4)


def _accepted_on(ports: NDArray[np.uint16]) -> int:
    """How many connections of these local ports accept() has handed out."""

    def count(tables: Iterable[Sockets]) -> int:
        return sum(int((np.isin(table["local_port"], ports) & (table["inode"] != 0)).sum()) for table in tables)

    return fold_sockets(count, {State.ESTABLISHED})[0]


def _serve_here(
    job: ServeJob, listeners: Sequence[socket.socket], choice: Choice, counters: Counters, control: Control
) -> Iterator[list[Event]]:
    """Runs in the worker, so that the loop is made there."""
    return serve_work(job, listeners, choice.make(None), counters, control, now_ns)


def _listen(where: Sequence[str], backlog: int, until_the_end: ExitStack) -> list[socket.socket]:
    if not where:
        raise UsageError("a server", "no address was given", "Write 127.0.0.1:8000.")
    if backlog < 0:
        raise UsageError(f"a backlog of {backlog}", "it is a number from 0 on")
    wanted: list[Endpoint] = []
    for text in where:
        spec = EndpointSpec.parse(text)
        if spec.ports is None:
            raise UsageError(f"an address to listen on: {text!r}", "it has no port", f"Write {spec.with_port()}.")
        found = addresses.resolve(spec)
        ours = [address for address in found if addresses.is_local(address)]  # a name may also mean others: ::1, say
        wanted += [Endpoint(address, port) for address in ours or found for port in spec.ports]
    wanted = list(dict.fromkeys(wanted))
    files = process.read_files()
    if len(wanted) + FILES_RESERVED >= files.soft - files.open:
        raise ShortfallError(
            f"{len(wanted):,} listeners",
            f"open files of the process: RLIMIT_NOFILE {files.soft:,}, {files.open} in use (EMFILE 24)",
            "Listen on fewer ports, in several processes, or raise ulimit -n.",
        )
    return [until_the_end.enter_context(_listener(endpoint, backlog)) for endpoint in wanted]


def _listener(endpoint: Endpoint, backlog: int) -> socket.socket:
    address: Address = endpoint.address
    try:
        listener = socket.socket(addresses.family_of(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:  # EAFNOSUPPORT: IPv6 is switched off
        raise _why_not(endpoint, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT of an earlier run is no obstacle
        if address.version == 6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((str(address), endpoint.port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise _why_not(endpoint, error) from None
    return listener


def _why_not(endpoint: Endpoint, error: OSError) -> FourtupleError:
    number = error.errno or 0
    wanted, stopped_by = f"to listen on {endpoint}", f"{error.strerror} ({name_of(number)} {number})"
    if number == errno.EADDRNOTAVAIL:
        return UsageError(wanted, f"{stopped_by}: this host does not have the address", "See `ip address`.")
    if number == errno.EADDRINUSE:
        return ShortfallError(wanted, f"{stopped_by}: another socket has the port", "See `ss -tlnp`, or take another.")
    return ShortfallError(wanted, stopped_by, symptom_of(number).do)
