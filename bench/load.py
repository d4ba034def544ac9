"""Load by the programs of others, told as one JSON object: how much was done, in which wall time and CPU time.

python -m bench.load s_time SECONDS HOST:PORT         full TLS 1.3 handshakes one after another, by `openssl s_time`
python -m bench.load wrk SECONDS CONNECTIONS URL      HTTP requests on so many connections, by `wrk` with one thread
"""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

S_TIME = re.compile(r"^(\d+) connections in \d+ real seconds", re.MULTILINE)
WRK = re.compile(r"^ *(\d+) requests in ", re.MULTILINE)
WRONG = re.compile(r"^ *((?:Socket errors|Non-2xx).*)$", re.MULTILINE)


def s_time(seconds: str, address: str) -> dict[str, float]:
    # Its own CPU time is only that of user space, its real seconds are whole ones.
    return _run(["openssl", "s_time", "-new", "-tls1_3", "-time", seconds, "-connect", address], S_TIME)


def wrk(seconds: str, connections: str, url: str) -> dict[str, float]:
    return _run(["wrk", "--threads", "1", "--connections", connections, "--duration", f"{seconds}s", url], WRK)


def _run(command: Sequence[str], told: re.Pattern[str]) -> dict[str, float]:
    start_s, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    elapsed_s, after = time.monotonic() - start_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    found, wrong = told.search(done.stdout), WRONG.search(done.stdout)
    if done.returncode or not found or wrong:
        said = wrong[1] if wrong else (done.stderr.strip() or "nothing").splitlines()[-1]
        sys.exit(f"{command[0]} ended with {done.returncode} and said: {said}")
    return {
        "done": int(found[1]),
        "elapsed_s": elapsed_s,
        "cpu_s": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime,
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["s_time", seconds, address]:
            print(json.dumps(s_time(seconds, address)))
        case ["wrk", seconds, connections, url]:
            print(json.dumps(wrk(seconds, connections, url)))
        case _:
            sys.exit(__doc__)
