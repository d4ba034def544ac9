"""What opening took: wall time and processor time from the first connect() on, printed as one JSON object."""

import json
import resource
import time


class Stopwatch:
    def __init__(self) -> None:
        self._start_s, self._before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)

    def print_figures(self, held: int) -> None:
        elapsed_s, now = time.monotonic() - self._start_s, resource.getrusage(resource.RUSAGE_SELF)
        figures = {
            "held": held,
            "elapsed_s": elapsed_s,
            "cpu_user_s": now.ru_utime - self._before.ru_utime,
            "cpu_system_s": now.ru_stime - self._before.ru_stime,
        }
        print(json.dumps(figures))


def raise_soft_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
