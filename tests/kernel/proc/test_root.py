"""A process' command line, and its files as it sees them, in a root of its own."""

from pathlib import Path

import pytest

from fourtuple.kernel.proc.root import (
    matching,
    path_within,
    read_arguments,
    read_name,
    read_parent,
    read_unix_listeners,
    working_directory,
)

UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 100 /run/app/admin.sock
0000000000000000: 00000002 00000000 00010000 0001 01 101 @abstract
0000000000000000: 00000002 00000000 00000000 0001 03 102 /run/app/other.sock
0000000000000000: 00000002 00000000 00010000 0001 01 103
0000000000000000: 00000002 00000000 00010000 0001 01 104 /run/not/ours
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with process 7, whose root is a container's."""
    root, process = tmp_path / "container", tmp_path / "proc/7"
    for folder in (root / "etc/app/conf.d", process / "net"):
        folder.mkdir(parents=True)
    for name in ("b.conf", "a.conf", ".hidden.conf", "c.txt"):
        (root / "etc/app/conf.d" / name).write_text(name)
    (root / "etc/link").symlink_to("/etc/app")
    (root / "etc/up").symlink_to("../../../../etc/app/conf.d")
    (root / "etc/round").symlink_to("/etc/round")
    (process / "root").symlink_to(root)
    (process / "cwd").symlink_to(root / "etc/app")
    (process / "cmdline").write_bytes(b"app\0-f\0/etc/app.conf\0")
    (process / "comm").write_text("app\n")
    (process / "status").write_text("Name:\tapp\nPPid:\t3\n")
    (process / "net/unix").write_text(UNIX)
    return tmp_path / "proc"


def test_what_a_process_was_started_with(proc: Path) -> None:
    assert read_arguments(7, proc) == ("app", "-f", "/etc/app.conf")
    assert (read_name(7, proc), read_parent(7, proc), working_directory(7, proc)) == ("app", 3, "/etc/app")


def test_a_process_that_has_ended_has_nothing(proc: Path) -> None:
    assert (read_arguments(8, proc), read_name(8, proc), read_parent(8, proc)) == (("",), "", None)
    assert working_directory(8, proc) == "/"
    assert read_unix_listeners(8, frozenset({1}), proc) == ()


@pytest.mark.parametrize("path", ["/etc/link/conf.d/a.conf", "/etc/up/a.conf", "/etc/../../etc/app/./conf.d/a.conf"])
def test_links_and_dots_do_not_lead_out_of_the_root(proc: Path, path: str) -> None:
    """An absolute link is one of the process' root, and `..` ends there."""
    found = path_within(7, path, proc)

    assert found == f"{proc}/7/root/etc/app/conf.d/a.conf"
    assert Path(found).read_text() == "a.conf"


def test_links_in_a_circle_end(proc: Path) -> None:
    with pytest.raises(OSError, match="too many symbolic links"):
        path_within(7, "/etc/round", proc)


def test_a_pattern_stands_for_the_files_of_the_process(proc: Path) -> None:
    names = ("/etc/link/conf.d/a.conf", "/etc/link/conf.d/b.conf")

    assert matching(7, "/etc/link/conf.d/*.conf", proc) == names
    assert matching(7, "/etc/app.conf", proc) == ("/etc/app.conf",)
    assert matching(7, "/nowhere/*", proc) == matching(7, "/etc/round/*", proc) == ()


def test_the_unix_sockets_that_listen_are_those_of_the_process_with_a_path(proc: Path) -> None:
    assert read_unix_listeners(7, frozenset({100, 101, 102, 103}), proc) == ("/run/app/admin.sock",)
