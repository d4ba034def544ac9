"""Which program, process and host a line is of: the one that logs it, and no call, errno or exception."""

import pytest

from fourtuple.core.why.reader import read_findings


@pytest.mark.parametrize(
    ("line", "program", "pid", "host"),
    [
        ("10:32:01 app: accept4: too many open files", "app", None, ""),
        ("10:32:01 web1 app: accept4: too many open files", "app", None, "web1"),
        ("10:32:01 app: socket: Too many open files", "app", None, ""),
        ("10:32:01 accept4: too many open files", "", None, ""),
        ("10:00:00Z web1 app[812]: accept4: too many open files", "app", 812, "web1"),
        ("Nov  3 10:00:01 web1 app[812]: accept: Too many open files", "app", 812, "web1"),
        ("2026-11-29T10:00:00Z api ENFILE: file table overflow", "", None, ""),
        ("10:32:01 java.net.SocketException: Too many open files", "", None, ""),
        ("accept: Too many open files [pid 3]", "", 3, ""),
        ("app PID 3: accept: Too many open files", "app", 3, ""),
        ("app (pid 3): accept: Too many open files", "app", 3, ""),
        ("app[pid 3]: accept: Too many open files", "app", 3, ""),
        ("10:32:01 app PID=3: accept: Too many open files", "app", 3, ""),
        ("python3[3]: accept: Too many open files", "python3", 3, ""),
        ("accept: Too many open files pid=3", "", 3, ""),
        ("<11>1 2026-01-02T10:32:01Z web1 app 812 - - accept: Too many open files", "app", 812, "web1"),
    ],
)
def test_a_line_is_of_the_program_that_logs_it(line: str, program: str, pid: int | None, host: str) -> None:
    (found,) = read_findings([line])

    assert (found.program, found.pid, found.host) == (program, pid, host)
