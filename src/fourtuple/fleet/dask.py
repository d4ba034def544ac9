"""The seats of a fleet on Dask: https://distributed.dask.org. Scheduler, transport and membership are Dask's.

A machine that ends is reported by the scheduler at once; one that hangs is noticed by the silence of its samples.
"""

import atexit
import logging
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from fourtuple.core.errnos import name_of
from fourtuple.core.errors import CannotError, UsageError, no_extra
from fourtuple.core.record import dataclass
from fourtuple.engine.control import now_ns
from fourtuple.fleet.links import WorkerName
from fourtuple.fleet.messages import FromMachine, Gone, ToMachine, from_machine, packed

CONNECT_S = 10.0  # to the scheduler
SEAT_S = 30.0  # until the process of a machine must have been started
LOST_S = 2.0  # how long the scheduler may be unreachable
CLOCKS = 9  # readings of a clock; that with the shortest round trip counts
SILENT = logging.CRITICAL + 1
LOGGERS = {"distributed", "tornado", "asyncio", "asyncssh"}
NO_SCHEDULER = "what listens there does not answer as a Dask scheduler does"
HOW_TO_START = "Start `dask scheduler`, and on each machine `dask worker ADDRESS`; --local 2 needs neither."
MISSING = "the extra `fleet` is not installed"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster to use: exactly one of these.

    scheduler: its address, as tcp://10.0.0.1:8786
    local:     workers to start on this machine
    ssh:       hosts on which to start workers by SSH; the first one has the scheduler, too
    tls:       (the CA's certificate, own certificate, its key) as files, for Dask's own connections; empty: no TLS
    """

    scheduler: str = ""
    local: int = 0
    ssh: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()


@contextmanager
def linked(cluster: Cluster) -> Iterator["DaskLinks"]:
    """The links to a cluster, which is started first if it is to be made on the spot, and ended then.

    Raises CannotError if it cannot be reached or started, or if Dask is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise no_extra("fleet needs Dask", f"{MISSING} ({error})", "fleet") from None
    _silence()
    with ExitStack() as until_the_end:
        what, do = f"cannot reach the scheduler {cluster.scheduler}", HOW_TO_START
        if not cluster.scheduler:
            what, do = "cannot start a cluster", ""
        try:
            security = _security(distributed, cluster.tls)
            where = cluster.scheduler or until_the_end.enter_context(_made(distributed, cluster, security))
            make: Callable[..., Any] = distributed.Client
            client = _within(2 * CONNECT_S, lambda: make(where, timeout=CONNECT_S, **security))
        except ImportError as error:
            raise no_extra("fleet by SSH needs asyncssh", str(error), "fleet") from None
        except MemoryError:  # the first bytes of another protocol, as the length of a message
            raise CannotError(what, NO_SCHEDULER, do) from None
        except ValueError as error:
            if not cluster.scheduler:
                raise CannotError(what, _reason(error), do) from None
            example = "Write tcp://10.0.0.1:8786."
            raise UsageError(f"--scheduler {cluster.scheduler}", _reason(error), example) from None
        except (OSError, RuntimeError, TimeoutError, TypeError) as error:
            raise CannotError(what, _reason(_refusal(cluster.scheduler) or error), do) from None
        until_the_end.callback(_closed, client)
        if made := cluster.local or len(cluster.ssh):
            with suppress(TimeoutError):  # the others go on without a worker that does not come
                client.wait_for_workers(made, timeout=SEAT_S)
        links = DaskLinks(client)
        until_the_end.callback(links.end)
        yield links


def _silence() -> None:
    """Let Dask log nothing: what matters is told by the run."""
    for name in [*logging.root.manager.loggerDict]:  # Dask gives several of them a level of their own
        if name.partition(".")[0] in LOGGERS:
            logging.getLogger(name).setLevel(SILENT)


def _within(patience_s: float, make: Callable[[], Any]) -> Any:
    """What `make` makes. Raises its error, or TimeoutError: Dask waits for ever for a server that says nothing."""
    made: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            made.put((make(), None))
        except BaseException as error:
            made.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = made.get(timeout=patience_s)
    except queue.Empty:
        raise TimeoutError(NO_SCHEDULER) from None
    if error is not None:
        raise error
    return found


def _security(distributed: Any, tls: Sequence[str]) -> dict[str, Any]:
    if not tls:
        return {}
    ca, certificate, key = tls
    made = distributed.Security(
        tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key, require_encryption=True
    )
    return {"security": made}


def _made(distributed: Any, cluster: Cluster, security: dict[str, Any]) -> Any:
    """A cluster that ends with the run."""
    if cluster.ssh:
        options = {"nthreads": 1, "memory_limit": 0, "n_workers": 1}
        return distributed.SSHCluster(
            [cluster.ssh[0], *cluster.ssh], worker_options=options, scheduler_options={"dashboard": False}
        )
    # It is ended here; Dask's own way at exit raises an error for a cluster whose start was interrupted.
    atexit.unregister(distributed.deploy.spec.close_clusters)
    return distributed.LocalCluster(
        n_workers=cluster.local,
        threads_per_worker=1,
        host="127.0.0.1",
        memory_limit=0,
        dashboard_address="127.0.0.1:0",  # without one, its HTTP server tries port 8787
        silence_logs=SILENT,
        **security,
    )


def _closed(client: Any) -> None:
    with suppress(Exception):  # the scheduler is gone
        client.close(timeout=LOST_S)


def _refusal(scheduler: str) -> OSError | None:
    """What the kernel says to a connect(): Dask says no more than that time is over if its last try had none left."""
    end = urlsplit(scheduler)
    try:
        if end.hostname and end.port:
            socket.create_connection((end.hostname, end.port), CONNECT_S).close()
    except (OSError, ValueError) as error:  # ValueError: that is no port
        return error if isinstance(error, OSError) and error.errno else None
    return None


def _reason(error: BaseException) -> str:
    """The first error of the system that led to this one: Dask reports a timeout where a connection was refused."""
    found = error
    while (cause := error.__cause__) is not None:
        found, error = (cause if isinstance(cause, OSError) and str(cause) else found), cause
    if isinstance(found, OSError) and found.errno and found.errno > 0:  # that of an unknown name is below 0
        return f"{found.strerror} ({name_of(found.errno)} {found.errno})"
    return str(found) or type(found).__name__


class DaskLinks:
    """The seats at the workers of a cluster; see Links."""

    def __init__(self, client: Any, relay: type[Any] | None = None) -> None:
        """relay: the actor on each machine; None: Relay"""
        self._client, self._relay = client, relay
        self._topic = f"fourtuple-{uuid.uuid4().hex}"
        self._heard: queue.SimpleQueue[tuple[int, FromMachine]] = queue.SimpleQueue()
        self._seats: dict[int, WorkerName] = {}
        self._relays: dict[int, Any] = {}  # the actors of living seats
        self._kept: dict[int, Any] = {}  # their futures: Dask releases an actor that nobody waits for
        self._lost: set[int] = set()
        self._unreachable_since: float | None = None
        client.subscribe_topic(self._topic, self._on_message)
        client.subscribe_topic("all", self._on_change)

    def workers(self) -> list[WorkerName]:
        found = self._client.scheduler_info(n_workers=-1)["workers"]  # by default some versions give five
        return sorted((WorkerName(_name(each["name"]), address) for address, each in found.items()), key=_by_name)

    def take(self, workers: Sequence[WorkerName]) -> list[int]:
        from fourtuple.fleet.relay import Relay

        numbers = list(range(len(self._seats) + 1, len(self._seats) + 1 + len(workers)))
        self._seats |= dict(zip(numbers, workers, strict=True))
        waiting = {
            number: self._client.submit(
                self._relay or Relay,
                self._topic,
                number,
                each.name,
                each.address,
                actor=True,
                workers=[each.address],
                allow_other_workers=False,
                pure=False,
            )
            for number, each in zip(numbers, workers, strict=True)
        }
        self._kept |= waiting
        until_s = time.monotonic() + SEAT_S
        for number, future in waiting.items():
            try:
                self._relays[number] = future.result(timeout=max(0.1, until_s - time.monotonic()))
            except Exception as error:  # whatever its worker raised, or a timeout
                self._lose(number, f"its process could not be started: {_reason(error)}")
        return numbers

    def offset(self, seat: int) -> tuple[int, int]:
        found = []
        for _ in range(CLOCKS):
            before_ns = now_ns()
            try:
                there_ns = self._relays[seat].clock_ns().result(timeout=LOST_S)
            except Exception:  # lost meanwhile, in one of three ways, depending on the version of Dask
                break
            after_ns = now_ns()
            found.append(((after_ns - before_ns) // 2, there_ns - (before_ns + after_ns) // 2))
        error_ns, offset_ns = min(found, default=(0, 0))
        return offset_ns, error_ns

    def send(self, seat: int, message: ToMachine) -> None:
        if seat in self._relays:
            with suppress(Exception):  # a lost actor raises one of several errors; that it is lost is told elsewhere
                self._relays[seat].write(packed(message))

    def receive(self, wait_s: float) -> list[tuple[int, FromMachine]]:
        found: list[tuple[int, FromMachine]] = []
        with suppress(queue.Empty):
            found.append(self._heard.get(timeout=max(0.001, wait_s)))
            while True:
                found.append(self._heard.get_nowait())
        if self._is_unreachable():
            for seat in list(self._relays):
                self._lose(seat, "the scheduler is gone")
        return found

    def leave(self, seats: Sequence[int]) -> None:
        for seat in seats:
            self._drop(seat)

    def end(self) -> None:
        """Give up all seats, and hear nothing more: the scheduler logs an error for each event that it cannot send."""
        self.leave(list(self._relays))
        for topic in (self._topic, "all"):
            with suppress(Exception):  # the scheduler is gone
                self._client.unsubscribe_topic(topic)

    def _on_message(self, event: tuple[float, tuple[int, bytes | int]]) -> None:
        """A message of a process, or its exit code."""
        seat, said = event[1]
        if isinstance(said, int):
            self._lose(seat, f"its process ended with {_ending(said)}")
        elif seat not in self._lost:
            try:
                self._heard.put((seat, from_machine(said)))
            except ValueError as error:
                self._lose(seat, f"it says what this version does not understand: {error}")

    def _on_change(self, event: tuple[float, Any]) -> None:
        """What happened to a worker."""
        what = event[1]
        if isinstance(what, dict) and what.get("action") == "remove-worker":
            for seat, worker in self._seats.items():
                if worker.address == what.get("worker"):
                    self._lose(seat, "its Dask worker is gone")

    def _drop(self, seat: int) -> None:
        self._lost.add(seat)
        self._relays.pop(seat, None)
        self._kept.pop(seat, None)

    def _lose(self, seat: int, why: str) -> None:
        if seat not in self._lost:
            self._drop(seat)
            self._heard.put((seat, Gone(why)))

    def _is_unreachable(self) -> bool:
        if self._client.status == "running":
            self._unreachable_since = None
            return False
        self._unreachable_since = self._unreachable_since or time.monotonic()
        return time.monotonic() - self._unreachable_since > LOST_S


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _name(name: object) -> str:
    """The name of a worker; Dask numbers those that have none."""
    return f"w{name}" if str(name).isdigit() else str(name)


def _by_name(worker: WorkerName) -> tuple[int, str]:
    """Workers in their natural order: m2 before m10."""
    return len(worker.name), worker.name
