"""Sockets in every state that lasts, counted by the product and by ss: `python -m tests.kernels.sockets N`, in a lab.

It prints one line of JSON. One process makes and counts them: TIME_WAIT is over after 60 s, and an emulated machine
needs almost as long to start a second process.
"""

import json
import subprocess
import sys

from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.verbs.census import census
from tests.labs.known import make, rows_of_ss, settle, state_counts


def main(count: int) -> None:
    write_sysctl("net.ipv4.tcp_fin_timeout", "600")  # for FIN_WAIT2 that no process has
    maker = make(count)
    settle()
    found = census()
    listed = subprocess.run(["ss", "-Htan"], capture_output=True, text=True, check=True).stdout
    counts = {"made": maker.made.states(), "found": found.sockets, "ss": state_counts(rows_of_ss(listed))}
    print(json.dumps(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]))
