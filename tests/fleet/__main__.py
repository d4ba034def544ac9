"""Shows a fleet in one command: `make fleet`, or `python -m tests.fleet --connections 40000`.

Four machines, each a network namespace with a Dask worker, open connections to a server in another one. The kernel of
that server is the witness. Then one machine is removed, and the others take its share over.
"""

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from fourtuple.core.units import format_count
from tests.conftest import COMMAND
from tests.fleet.world import Machine, World
from tests.told import READY
from tests.waiting import PATIENCE_S, wait_until

NAMES = ("m1", "m2", "m3", "m4")
GONE = "m3"
PORT = 7000


def say(text: str) -> None:
    print(f"\n• {text}", flush=True)


def listed(world: World, server: Machine) -> Counter[str]:
    """What the server's kernel lists, printed by machine."""
    found = server.established(PORT)
    for name in NAMES:
        if name in world.machines:
            address = world.machines[name].address
            print(f"    {format_count(found[address]):>8} from {name} ({address})")
    print(f"    {format_count(found.total()):>8} in all, as ss(8) lists them on the server", flush=True)
    return found


def show(wanted: int) -> int:
    """→ exit code"""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fourtuple-fleet-") as folder, World(Path(folder)) as world:
        world.workers(*NAMES)
        server = world.machine("server")
        to = f"{server.address}:{PORT}"
        say(
            f"{len(NAMES)} machines are ready: network namespaces on a bridge, each with a Dask worker. A Dask"
            f" scheduler and a server, {to}, have namespaces of their own ({time.monotonic() - began_s:.1f} s)."
        )
        with server.serving(to):
            code = hold(world, server, wanted)
    say(f"Every namespace and every process in it is gone ({time.monotonic() - began_s:.1f} s).")
    return code


def hold(world: World, server: Machine, wanted: int) -> int:
    """Open the connections, remove a machine, and see the others take over → exit code."""
    arguments = world.arguments("hold", str(wanted), f"{server.address}:{PORT}", "--for", "1h", "--replace")
    say(f"fourtuple {' '.join(arguments)}")
    program = world.desk.start(*COMMAND, *arguments)
    try:
        said = iter(program.stderr or ())
        for line in said:
            print(f"    {line.rstrip()}", flush=True)
            if line.startswith(READY["hold"]):
                break
        echo = threading.Thread(target=lambda: [print(f"    {line.rstrip()}", flush=True) for line in said])
        echo.start()
        before = listed(world, server)
        say(f"Machine {GONE} is removed, with every process on it. --replace: the others take its share over.")
        gone = world.machines[GONE].address
        world.machines[GONE].remove()
        wait_until(lambda: server.established(PORT)[gone] == 0)
        wait_until(lambda: server.established(PORT).total() == wanted)
        after = listed(world, server)
        say("Ctrl-C, and the result:")
        program.send_signal(signal.SIGINT)
        print(program.stdout.read() if program.stdout else "")
        program.wait(PATIENCE_S)
        echo.join(PATIENCE_S)
    finally:
        program.kill()
        program.wait()
    return 0 if before.total() == after.total() == wanted else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("--connections", type=int, default=40_000, metavar="N")
    sys.exit(show(parser.parse_args().connections))
