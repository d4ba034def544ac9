"""A file that the user names is written whole or not at all, and never through another user's link."""

import errno
import os
import pty
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fourtuple.core.errors import UsageError
from fourtuple.store.output import write_whole
from fourtuple.verbs.output import write_output
from tests.conftest import need

NOBODY = 65534


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder as /tmp is: every user may write, and the sticky bit is set."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o7777


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", b"text")
    finally:
        os.umask(old)

    assert ((tmp_path / "new").read_bytes(), mode(tmp_path / "new")) == (b"text", 0o640)


@pytest.mark.parametrize("before", [0o600, 0o664, 0o755, 0o4755])
def test_a_file_keeps_its_mode_and_is_another_file(tmp_path: Path, before: int) -> None:
    """Whoever has the old file open keeps reading the old content; it no longer runs as its owner."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(before)
    with file.open("rb") as reader:
        write_whole(file, b"new")
        assert reader.read() == b"old"

    assert (file.read_bytes(), mode(file), os.listdir(tmp_path)) == (b"new", before & 0o777, ["file"])


def test_root_leaves_a_file_to_its_owner(tmp_path: Path) -> None:
    need(os.geteuid() == 0, "root, to give a file to another user")
    file = tmp_path / "file"
    file.write_bytes(b"old")
    os.chown(file, NOBODY, NOBODY)
    write_whole(file, b"new")

    assert (file.read_bytes(), file.stat().st_uid, file.stat().st_gid) == (b"new", NOBODY, NOBODY)


def test_where_writing_fails_the_old_file_stays_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """Half of the content does not fit: the limit of a file's size stands for a full disk."""
    (tmp_path / "file").write_bytes(b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path; from fourtuple.store.output import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(Path(sys.argv[1]), bytes(2000))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "file"], capture_output=True, text=True, check=False)

    assert "File too large" in done.stderr
    assert ((tmp_path / "file").read_bytes(), os.listdir(tmp_path)) == (b"old", ["file"])
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_own_links_are_followed_and_stay(tmp_path: Path) -> None:
    """Absolute and relative ones, several in a row, among the folders, and one that leads to no file yet."""
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    (tmp_path / "second").symlink_to("folder/../real/./file")
    write_whole(tmp_path / "first", b"text")
    write_whole(tmp_path / "folder" / "other", b"more")

    assert (tmp_path / "real" / "file").read_bytes() == b"text"
    assert (tmp_path / "real" / "other").read_bytes() == b"more"
    assert (tmp_path / "first").is_symlink()
    assert (tmp_path / "second").is_symlink()


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(OSError, match="symbolic links"):
        write_whole(tmp_path / "a", b"text")


@pytest.mark.parametrize("what", ["link", "dangling", "folder", "file", "pipe"])
def test_what_another_user_has_put_where_everybody_may_write_is_refused(
    shared: Path, tmp_path: Path, what: str
) -> None:
    """Also by root, and at once: nothing is opened."""
    need(os.geteuid() == 0, "root, to give a file to another user")
    target, place = tmp_path / "target", shared / "place"
    output = place
    if what == "link":
        target.write_bytes(b"precious")
        place.symlink_to(target)
    elif what == "dangling":
        place.symlink_to(target)
    elif what == "folder":
        target.mkdir()
        place.symlink_to(target)
        output = place / "file"
    elif what == "file":
        place.write_bytes(b"theirs")
    else:
        os.mkfifo(place)
    os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    os.chown(shared, 1, 1)

    with pytest.raises(PermissionError, match="another user"):
        write_whole(output, b"text")
    assert (what, target.exists()) in (("link", True), ("folder", True), (what, False))
    assert what != "link" or target.read_bytes() == b"precious"
    assert what != "folder" or os.listdir(target) == []


@pytest.mark.parametrize("whose", ["own", "the folder's owner's"])
def test_own_links_and_those_of_the_folders_owner_are_followed_there_too(
    shared: Path, tmp_path: Path, whose: str
) -> None:
    need(os.geteuid() == 0, "root, to give a file to another user")
    (shared / "link").symlink_to(tmp_path / "target")
    if whose != "own":
        for place in (shared, shared / "link"):
            os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    write_whole(shared / "link", b"text")

    assert (tmp_path / "target").read_bytes() == b"text"


def test_a_planted_name_is_not_written_through(tmp_path: Path) -> None:
    """The new file's name cannot be known before: a link at any fixed name next to the file changes nothing."""
    (tmp_path / "precious").write_bytes(b"precious")
    for name in ("file.new", "file.tmp", f".file.{os.getpid()}", "file~"):
        (tmp_path / name).symlink_to("precious")
    write_whole(tmp_path / "file", b"text")

    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_pipe_and_a_terminal_are_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_whole(tmp_path / "pipe", b"text")
    reader.join()
    near, far = pty.openpty()
    write_whole(Path(os.ttyname(far)), b"shown")

    assert (got, os.read(near, 100)) == ([b"text"], b"shown")
    os.close(near)
    os.close(far)


def test_nothing_may_be_written_to_a_device_but_null(tmp_path: Path) -> None:
    write_whole(Path("/dev/null"), b"text")
    with pytest.raises(OSError, match="No space left"):
        write_whole(Path("/dev/full"), b"text")
    with pytest.raises(OSError, match="device"):
        write_whole(Path("/dev/zero"), b"text")
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, b"text")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_its_own_output_is_written_to_as_it_is(tmp_path: Path, name: str) -> None:
    """What is in the file already stays, also where that file is then no longer reachable by its name."""
    if name == "link":
        name = str(tmp_path / "link")
        Path(name).symlink_to("/dev/stdout")
    code = "import sys; from pathlib import Path; from fourtuple.store.output import write_whole as w\n"
    code += f"w(Path({name!r}), b'one\\n'); w(Path({name!r}), b'two\\n')"
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("ab") as stream:
        subprocess.run([sys.executable, "-c", code], stdout=stream, check=True)
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert log.read_text() == "before\none\ntwo\n"
    assert piped.stdout == b"one\ntwo\n"


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    """Its folder would permit it; its owner has said otherwise."""
    need(os.geteuid() == 0, "root, to become an ordinary user")
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o444)
    error = as_nobody(tmp_path, "file", folder_mode=0o777)

    assert (error, (tmp_path / "file").read_bytes()) == (errno.EACCES, b"old")


def test_a_file_in_a_closed_folder_is_written_into(tmp_path: Path) -> None:
    """A new file cannot be made there, but this one may be written, as cp does."""
    need(os.geteuid() == 0, "root, to become an ordinary user")
    (tmp_path / "file").write_bytes(b"old content")
    (tmp_path / "file").chmod(0o666)
    error = as_nobody(tmp_path, "file", folder_mode=0o755)

    assert (error, (tmp_path / "file").read_bytes()) == (0, b"new")


def as_nobody(folder: Path, name: str, folder_mode: int) -> int:
    """Write b"new" as an ordinary user → the errno, 0 for success."""
    for above in folder.parents:
        if above.stat().st_mode & 0o777 == 0o700:
            above.chmod(0o755)  # pytest's own are for their user alone
    folder.chmod(folder_mode)
    child = os.fork()
    if not child:
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            write_whole(folder / name, b"new")
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
        finally:
            os._exit(255)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("name", ["-", "/nonexistent/file", "/proc/version/file", "/"])
def test_what_cannot_be_written_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"cannot write.*{name}"):
        write_output(Path(name), b"text")
