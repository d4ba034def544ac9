"""Every command that writes a file which the user names does it alike."""

import os
from pathlib import Path

import pytest

from fourtuple.core.runs.entry import RunState
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.conftest import Ground, need
from tests.made import hold_record, samples, start

NOBODY = 65534
COMMANDS = {
    "plan": ("plan", "10", "127.0.0.1:8000", "--write"),
    "census": ("census", "--save"),
    "report": ("report", "1", "-o"),
    "compare": ("compare", "1", "1", "-o"),
    "export": ("runs", "export", "1", "--csv", "-o"),
}
STORED = ("report", "compare", "export")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "runs.db"
    base = open_store(file, new=True)
    writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000", "me")
    writer.begin(start())
    for sample in samples(every_s=0.1):
        writer.sample(sample)
    writer.end(RunState.REACHED, to_text(hold_record()))
    base.close()
    return file


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_is_replaced_whole_and_another_users_link_is_refused(
    ground: Ground, store: Path, tmp_path: Path, name: str
) -> None:
    """The mode stays, whoever has read the old file keeps it, and what the link leads to is not touched."""
    need(os.geteuid() == 0, "root, to give a link to another user")
    more = ("--store", str(store)) if name in STORED else ()
    file, shared, precious = tmp_path / "file", tmp_path / "shared", tmp_path / "precious"
    file.write_text("old")
    file.chmod(0o640)
    precious.write_text("precious")
    shared.mkdir()
    (shared / "link").symlink_to(precious)
    shared.chmod(0o1777)
    os.chown(shared / "link", NOBODY, NOBODY, follow_symlinks=False)
    with file.open() as reader:
        written = ground.fourtuple(*COMMANDS[name], str(file), *more)
        assert reader.read() == "old"
    refused = ground.fourtuple(*COMMANDS[name], str(shared / "link"), *more)

    assert (written.returncode, written.stderr) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_text() != "old"
    assert refused.returncode == 2
    assert "another user" in " ".join(refused.stderr.split())
    assert precious.read_text() == "precious"
    assert sorted(os.listdir(shared)) == ["link"]
