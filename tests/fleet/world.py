"""A fleet to be tried: machines as network namespaces on a bridge, with a Dask scheduler and a Dask worker on each.

       desk: has the bridge and 10.88.0.1; commands of the fleet run there
    ┌───────────┬───────┴┬─────────┐
    scheduler   m1   …   m4        s1   servers, without a worker
    10.88.0.2   10.88.1.1          10.88.5.1

All of them share one user, PID and mount namespace: when it is closed, every process inside ends, and what was mounted
there is gone. Each machine has a home of its own, and so its own stored runs.
"""

import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import fourtuple
from fourtuple.core.backports import Self
from fourtuple.core.topology import Cable, Port
from fourtuple.kernel.netns import places
from fourtuple.verbs.lab import Lab
from tests.conftest import COMMAND, Ground, need, need_namespace
from tests.told import READY
from tests.waiting import PATIENCE_S, lines_until, wait_until

ADDRESS, LENGTH = "10.88.{}.{}", 16
DASK_PORT = 8786
TMPFS_BYTES = 64 * 1024
SCHEDULER, WORKER = "distributed.cli.dask_scheduler", "distributed.cli.dask_worker"
# As docs/fleet.md advises: one worker that neither limits memory nor is started again by a nanny.
WORKER_OPTIONS = ["--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--no-dashboard"]
# Runs a command in a time namespace (time_namespaces(7)), with CLOCK_MONOTONIC ahead by the next argument, in seconds.
# In a user namespace, for a lab of root has no CAP_SYS_TIME.
CLOCK = ["unshare", "--user", "--map-root-user", "--time", "--fork", "--kill-child", "--monotonic"]
IS_LISTENING, IS_REGISTERED = "Scheduler at:", "Registered to:"  # in Dask's logs
# Holds the ports from the first to before the second number of its command line, until its standard input is closed.
HOLD_PORTS = """
import contextlib, socket, sys
held = []
for port in range(*map(int, sys.argv[1:])):
    with contextlib.suppress(OSError):  # Dask's worker may have it
        held.append(socket.create_server(("", port), backlog=1))
print("held", flush=True)
sys.stdin.read()
"""


def need_world() -> None:
    """Skip, with the reason, where no such fleet can be made."""
    need_namespace()
    for program, package in (("ip", "iproute2"), ("ss", "iproute2"), ("taskset", "util-linux")):
        need(shutil.which(program), f"{program} ({package})")
    need(importlib.util.find_spec("distributed"), "distributed")


def need_clocks(world: "World") -> None:
    """Skip where the clock of a machine cannot be ahead."""
    done = world.desk.run(*CLOCK, "1", "true")
    need(done.returncode == 0, f"a time namespace ({done.stderr.strip()})")


class Machine(Ground):
    """A machine: a network namespace with its own addresses and limits, and its own home. World.machine makes one."""

    def __init__(
        self,
        world: "World",
        name: str,
        lab: Lab,
        addresses: Sequence[str],
        *,
        files: int | None = None,
        cpus: str = "",
        ahead_s: int = 0,
        package: Path | None = None,
    ) -> None:
        """Make its home.

        files:   the hard limit of open files of its Dask worker; None: that of this process
        cpus:    on which its Dask worker runs, as taskset(1) takes them; empty: all
        ahead_s: by how much the CLOCK_MONOTONIC of its Dask worker is ahead of the others; see need_clocks
        package: the folder of another version of fourtuple for its Dask worker, see another_version
        """
        self.world, self.name = world, name
        self.home = world.folder / name
        self.addresses, self.address = addresses, addresses[0]
        self.dask: subprocess.Popen[bytes] | None = None
        self._dask_log = self.home / "dask.log"
        self._prefix = ["prlimit", f"--nofile={files}"] if files else []
        self._prefix += ["taskset", "--cpu-list", cpus] if cpus else []
        self._prefix += [*CLOCK, str(ahead_s)] if ahead_s else []
        folders = {"HOME": "home", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "DASK_CONFIG": "dask.config"}
        for folder in folders.values():
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        super().__init__(lab, environment={name: str(self.home / folder) for name, folder in folders.items()})
        path = [str(package or ""), str(Path(fourtuple.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        self._dask_environment = self._environment | {"PYTHONPATH": os.pathsep.join(filter(None, path))}

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command on this machine; read its standard output and error."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return self.lab.start(command, env=self._environment, text=True, **pipes)

    def start_dask(self, module: str, *options: str) -> None:
        """Start Dask's scheduler or worker; wait_for_dask waits until it is of use."""
        assert self.dask is None
        self.dask = self._started(module, *options, log=self._dask_log)

    def start_worker(self) -> None:
        """Start a Dask worker with the name of this machine."""
        self.start_dask(*self._worker(self.name))

    @contextmanager
    def another_worker(self, name: str) -> Iterator[None]:
        """Run a second Dask worker, which the scheduler knows, during the block."""
        log = self.home / f"{name}.log"
        program = self._started(*self._worker(name), log=log)
        try:
            assert wait_until(lambda: IS_REGISTERED in log.read_text() or program.poll() is not None)
            yield
        finally:
            self.lab.kill(program)

    def _worker(self, name: str) -> list[str]:
        place = ["--host", self.address, "--name", name, "--local-directory", str(self.home / "dask")]
        return [WORKER, self.world.scheduler_address, *place, *WORKER_OPTIONS]

    def _started(self, module: str, *options: str, log: Path) -> "subprocess.Popen[bytes]":
        command = [*self._prefix, sys.executable, "-m", module, *self.world.dask_options, *options]
        with open(log, "wb") as file:
            to = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            return self.lab.start(command, env=self._dask_environment, **to)

    def wait_for_dask(self, words: str = IS_REGISTERED) -> None:
        """Wait until Dask has logged that."""
        dask = self.dask
        assert dask
        assert wait_until(lambda: words in self.dask_log or dask.poll() is not None), self.dask_log
        assert dask.poll() is None, self.dask_log

    @property
    def dask_log(self) -> str:
        return self._dask_log.read_text()

    def kill(self) -> None:
        """End its Dask worker or scheduler by SIGKILL."""
        assert self.dask
        self.lab.kill(self.dask)
        self.dask = None

    def wait_for_end(self) -> None:
        """Wait until its Dask worker, of its own accord, has ended."""
        assert self.dask
        self.dask.communicate(timeout=PATIENCE_S)
        self.dask = None

    def remove(self) -> None:
        """End the whole machine: every process in its namespace by SIGKILL, and with the last one the namespace.

        The kernel closes the connections of a killed process. If that is not to be seen, unplug the machine first.
        """
        while others := self.pids():
            for pid in others:
                _kill(pid)
        if self.dask:
            self.wait_for_end()
        _kill(self.lab.pid)
        self.lab.close()
        self.world.machines.pop(self.name, None)

    def pids(self) -> set[int]:
        """The processes that run on it. Those that pass signals on to them are not inside the PID namespace."""
        here = next((place.pids for place in places()[0] if self.lab.pid in place.pids), ())
        inside = _pid_namespace(self.lab.pid)
        return {pid for pid in here if pid != self.lab.pid and _pid_namespace(pid) == inside}

    def unplug(self) -> None:
        """Pull the cable out of the bridge."""
        self.world.ip(f"link set {self.name} down")

    def plug(self) -> None:
        self.world.ip(f"link set {self.name} up")

    def established(self, *ports: int) -> Counter[str]:
        """The connections that its kernel lists as established, counted by the peer's address, by ss(8).

        ports: its own ones; none: all
        """
        which = " or ".join(f"sport = :{port}" for port in ports)
        done = self.run("ss", "-Htn", "state", "established", *([f"( {which} )"] if which else []))
        assert done.returncode == 0, done.stderr
        return Counter(line.split()[-1].rpartition(":")[0] for line in done.stdout.splitlines())

    def stored(self, *number: int) -> dict[str, Any]:
        """A run that is stored here, as `fourtuple runs show` has it. number: none: the newest"""
        run: dict[str, Any] = self._json("runs", "show", *map(str, number))
        return run

    def _json(self, *arguments: str) -> Any:
        done = self.fourtuple(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def fill_disk(self) -> None:
        """Put a small, full file system where its stored runs would go."""
        state = self.home / "state"
        done = self.run("sh", "-c", f"mount -t tmpfs -o size={TMPFS_BYTES} fleet {state}; cat /dev/zero >{state}/full")
        assert "No space left" in done.stderr, done.stderr

    def empty_disk(self) -> None:
        """Take that file system away."""
        done = self.run("umount", str(self.home / "state"))
        assert done.returncode == 0, done.stderr

    @contextmanager
    def ports_in_use(self, ports: range) -> Iterator[None]:
        """Let a process listen on these ports of all addresses during the block, unless they are in use already."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        program = self.lab.start([sys.executable, "-c", HOLD_PORTS, str(ports.start), str(ports.stop)], **pipes)
        try:
            assert program.stdout
            assert program.stdout.readline() == "held\n"
            yield
        finally:
            self.lab.kill(program)


class World:
    """The desk, the scheduler and the machines of a fleet; all of them end with the block.

    with World(tmp_path) as world:
        m1, m2 = world.workers("m1", "m2")
        server = world.machine("s1")
    """

    def __init__(self, folder: Path, *, dask_options: Sequence[str] = (), protocol: str = "tcp") -> None:
        """Make the desk, and start the scheduler.

        folder:       an empty one, for the homes of the machines
        dask_options: of the scheduler, the workers and the commands of the fleet, such as --tls-ca-file FILE
        protocol:     between the parts of Dask: tcp or tls
        """
        need_world()
        self.folder = folder
        self.dask_options = list(dask_options)
        self.machines: dict[str, Machine] = {}
        self._numbers = itertools.count(1)
        lab = Lab()
        try:
            need(lab.processes, f"a PID and a mount namespace ({lab.why_not})")
            self.desk = Machine(self, "desk", lab, [ADDRESS.format(0, 1)])
            made = self._ip("link add fleet type bridge")
            need(made.returncode == 0, f"a bridge ({made.stderr.strip()})")
            self.ip(f"address add {self.desk.address}/{LENGTH} dev fleet", "link set fleet up")
            self.scheduler = self._machine("scheduler", [ADDRESS.format(0, 2)])
            self.scheduler_address = f"{protocol}://{self.scheduler.address}:{DASK_PORT}"
            self.start_scheduler()
        except BaseException:
            lab.close()
            raise

    def start_scheduler(self) -> None:
        """Start Dask's scheduler, and wait until it listens."""
        at = ["--host", self.scheduler_address.rpartition(":")[0], "--port", str(DASK_PORT)]
        self.scheduler.start_dask(SCHEDULER, *at, "--no-dashboard")
        self.scheduler.wait_for_dask(IS_LISTENING)

    def machine(self, name: str, *, addresses: int = 1, ports: range | None = None, **limits: Any) -> Machine:
        """Add a machine, without a Dask worker.

        addresses: how many it has: 10.88.N.1, 10.88.N.2 …
        ports:     its ip_local_port_range; None: the kernel's default
        limits:    see Machine
        """
        number = next(self._numbers)
        return self._machine(name, [ADDRESS.format(number, last + 1) for last in range(addresses)], ports, **limits)

    def workers(self, *names: str, **options: Any) -> list[Machine]:
        """Add machines, each with a Dask worker, which the scheduler knows when this returns. options: of machine()."""
        machines = [self.machine(name, **options) for name in names]
        for machine in machines:
            machine.start_worker()
        for machine in machines:
            machine.wait_for_dask()
        return machines

    def _machine(self, name: str, addresses: Sequence[str], ports: range | None = None, **limits: Any) -> Machine:
        assert name not in self.machines
        machine = Machine(self, name, Lab(ports=ports, beside=self.desk.lab), addresses, **limits)
        self.machines[name] = machine
        interfaces = tuple(ip_interface(f"{address}/{LENGTH}") for address in addresses)
        machine.lab.join(Cable(Port(name, ()), Port("eth0", interfaces)), near=self.desk.lab)
        self.ip(f"link set {name} master fleet")
        # It leads nowhere. But as on most hosts, it says which address is the own one (distributed.utils.get_ip).
        machine.run("ip", "route", "add", "default", "via", self.desk.address).check_returncode()
        return machine

    def ip(self, *lines: str) -> None:
        """Have ip(8) do that at the desk, where the bridge and one end of each cable is."""
        done = self._ip(*lines)
        assert done.returncode == 0, done.stderr

    def _ip(self, *lines: str) -> "subprocess.CompletedProcess[str]":
        return self.desk.run("ip", "-batch", "-", input="\n".join(lines))

    def arguments(self, verb: str, *arguments: str) -> list[str]:
        """The arguments of `fourtuple` for that command of the fleet."""
        return ["fleet", verb, *arguments, "--scheduler", self.scheduler_address, *self.dask_options]

    def fleet(self, verb: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run `fourtuple fleet VERB ARGUMENTS…` at the desk. options: of subprocess.run"""
        return self.desk.fourtuple(*self.arguments(verb, *arguments), **options)

    def fleet_record(self, verb: str, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The record that `fourtuple fleet VERB ARGUMENTS… --json` prints. code: its exit code"""
        done = self.fleet(verb, *arguments, "--json")
        assert done.returncode == code, done.stderr + done.stdout
        record: dict[str, Any] = json.loads(done.stdout)
        return record

    @contextmanager
    def begun(self, verb: str, *arguments: str) -> Iterator["Running"]:
        """The same in the background; killed after the block if it has not ended."""
        program = self.desk.start(*COMMAND, *self.arguments(verb, *arguments, "--json"))
        try:
            yield Running(program)
        finally:
            program.kill()
            program.communicate()

    @contextmanager
    def running(self, verb: str, *arguments: str, interrupted: bool = False) -> Iterator["Running"]:
        """The same once others may rely on it; it ends with the block.

        interrupted: by SIGINT; otherwise it is waited for
        """
        with self.begun(verb, *arguments) as running:
            running.wait_for(READY[verb])
            yield running
            running.end(signal.SIGINT if interrupted else None)

    def close(self) -> None:
        """End every process, and with them the namespaces."""
        with_dask = [machine for machine in self.machines.values() if machine.dask]
        for machine in with_dask:
            machine.kill()
        for machine in self.machines.values():
            machine.lab.close()
        self.desk.lab.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Running:
    """A command of the fleet that runs. record, code: once it has ended"""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        self.program = program
        self.record: dict[str, Any] = {}
        self.code: int | None = None

    def wait_for(self, words: str) -> str:
        """Wait until it has said that on standard error → the line."""
        return lines_until(self.program.stderr, words)[-1]

    def end(self, number: signal.Signals | None = None) -> None:
        """Send it this signal, and wait for its end."""
        if self.code is None:
            if number:
                self.program.send_signal(number)
            output, said = self.program.communicate(timeout=PATIENCE_S)
            self.code = self.program.returncode
            assert output, said
            self.record = json.loads(output)

    @property
    def machines(self) -> dict[str, dict[str, Any]]:
        """What became of each machine's own share, by its name."""
        return by_name(self.record)


def by_name(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What became of each machine's own share, by its name."""
    return {each["name"]: each for each in record["machines"] if not each["instead_of"]}


def another_version(folder: Path, version: str) -> Path:
    """A copy of the package that says it is another version → the folder to be imported from."""
    package = Path(fourtuple.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    begin = folder / package.name / "__init__.py"
    before = f'__version__ = "{fourtuple.__version__}"'
    assert before in begin.read_text()
    begin.write_text(begin.read_text().replace(before, f'__version__ = "{version}"'))
    return folder


def _pid_namespace(pid: int) -> str:
    """As /proc names it; empty: the process has ended."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return ""


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
