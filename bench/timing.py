"""How long commands take: from start to end, and `hold` until its first connection. One JSON list of seconds.

python -m bench.timing TIMES COMMAND   the command, by a shell, its output thrown away: [wall, CPU] of each time
python -m bench.timing TIMES first     `fourtuple hold 100`, until a listener here accepts its first connection

It runs inside a lab, so that the way into the lab is not measured (`timed` and `first_s` in arena.py).
"""

import json
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time

FOURTUPLE = f"{shlex.quote(sys.executable)} -m fourtuple"
HOLD = "fourtuple hold 100 127.0.0.1:{port} --for 1h --quiet"
PATIENCE_S = 120.0


def _whole(command: str) -> tuple[float, float]:
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall_s, after = time.monotonic() - start_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"it ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return wall_s, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _until_first() -> float:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        listener.settimeout(PATIENCE_S)
        words = shlex.split(_ours(HOLD.format(port=listener.getsockname()[1])))
        start_s = time.monotonic()
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
            held, _ = listener.accept()
            first_s = time.monotonic() - start_s
            program.send_signal(signal.SIGINT)
            program.wait(PATIENCE_S)
            held.close()
    return first_s


def _ours(command: str) -> str:
    """With the fourtuple of this Python."""
    return command.replace("fourtuple", FOURTUPLE, 1)


if __name__ == "__main__":
    count, what = int(sys.argv[1]), sys.argv[2]
    print(json.dumps([_until_first() if what == "first" else _whole(_ours(what)) for _ in range(count)]))
