"""`runs --serve`: the list, a run that goes on, and two runs side by side, in a browser; and what is refused."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fourtuple.core.errors import EXIT_INTERRUPTED
from fourtuple.core.runs.entry import RunState
from fourtuple.faces.page.site import is_of_this_machine, site
from fourtuple.kernel.proc.alive import mark
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from fourtuple.verbs.runs import Runs
from tests.conftest import COMMAND, fourtuple
from tests.made import hold_record, samples, start
from tests.ports import free_port
from tests.waiting import PATIENCE_S, lines_until, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def begun(file: Path) -> Iterator[Writer]:
    """A run in progress without samples, whose writer is this process."""
    base = open_store(file, new=not file.exists())
    writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000-8003", mark(), file)
    writer.begin(start())
    yield writer
    base.close()


def end(writer: Writer) -> None:
    writer.end(RunState.REACHED, to_text(hold_record()), n=1000, held=1000)


def stored(file: Path) -> None:
    """A run that has ended."""
    with begun(file) as writer:
        for sample in samples():
            writer.sample(sample)
        end(writer)


@contextmanager
def served(file: Path) -> Iterator[tuple[str, int, "subprocess.Popen[str]"]]:
    """The pages of a store: the address, the port, and the process."""
    port = free_port()
    command = [*COMMAND, "runs", "--serve", f"127.0.0.1:{port}", "--store", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines_until(process.stderr, str(port))
            yield f"http://127.0.0.1:{port}/", port, process
        finally:
            process.send_signal(signal.SIGINT)


def asked(port: int, path: str, *, host: str = "", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_a_run_in_progress_grows_without_being_loaded_again(browser: "Browser", tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    run = list(samples(40, opening=30))
    with begun(file) as writer, served(file) as (url, _, _):
        for sample in run[:10]:
            writer.sample(sample)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        requests, complaints = set[str](), list[str]()
        page.on("request", lambda request: requests.add(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(url)
        page.get_by_role("link", name="1", exact=True).click()
        assert wait_until(lambda: page.evaluate("Boolean(globalThis.fourtuple?.views.held)"))
        page.evaluate("globalThis.before = true")
        until_s = page.evaluate("fourtuple.views.held.scale('x').domain()[1]")
        for sample in run[10:20]:
            writer.sample(sample)
        assert wait_until(lambda: page.evaluate(f"fourtuple.views.held.scale('x').domain()[1] > {until_s}"))
        assert wait_until(lambda: page.evaluate("document.querySelector('.tiles').innerText.includes('666')"))

        assert page.evaluate("globalThis.before") is True

        for sample in run[20:]:
            writer.sample(sample)
        end(writer)
        page.wait_for_selector(".verdict.good")

        assert page.evaluate("globalThis.before") is None  # its end is another page, which asks for nothing any more
        assert page.locator("#follow").count() == 0
        assert all(each.startswith(url) for each in requests)
        assert complaints == []
        page.close()


def test_two_runs_are_chosen_from_the_list(browser: "Browser", tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    for _ in range(2):
        stored(file)
    with served(file) as (url, _, _):
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(url)
        page.locator("input[name=first][value='1']").check()
        page.locator("input[name=second][value='2']").check()
        page.get_by_role("button").click()

        assert page.locator("#numbers thead th").all_inner_texts()[1:3] == ["run 1", "run 2"]
        assert page.get_by_role("link", name="All runs").get_attribute("href") == "/"
        page.close()


def test_a_new_run_appears_in_the_list(browser: "Browser", tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    stored(file)
    with served(file) as (url, _, _):
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(url)
        stored(file)
        page.locator("tbody tr").nth(1).wait_for()  # the page loads itself again

        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.close()


def test_what_does_not_exist_is_refused_and_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    stored(file)
    before = file.read_bytes()
    with served(file) as (_, port, process):
        missing = [
            asked(port, path)[0] for path in ("/x", "/runs/2", "/runs/x", "/runs/-1", "/runs/1/x", "/../runs.db")
        ]
        wrong = [asked(port, f"/compare?{query}")[0] for query in ("first=1", "first=1&second=9", f"first={'9' * 30}")]
        whole, head = asked(port, "/runs/1"), asked(port, "/runs/1", method="HEAD")
        posted = asked(port, "/", method="POST")[0]
        rebound = asked(port, "/", host="evil.example")[0]
        process.send_signal(signal.SIGINT)
        said = process.stderr.read() if process.stderr else ""
        code = process.wait(PATIENCE_S)

    assert missing == [404] * 6
    assert wrong == [400] * 3
    assert (whole[0], head[0], head[2]) == (200, 200, b"")
    assert head[1]["content-length"] == whole[1]["content-length"] == str(len(whole[2]))
    assert "frame-ancestors 'none'" in whole[1]["content-security-policy"]
    assert (posted, rebound) == (405, 421)
    assert (code, "Traceback" in said) == (EXIT_INTERRUPTED, False)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:9437", True), ("localhost", True), ("localhost:9437", True), ("[::1]:9437", True),
        ("10.0.0.4", True), ("evil.example:9437", False), ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False), ("", False),
    ],
)  # fmt: skip
def test_only_addresses_and_localhost_are_this_machine(host: str, is_ours: bool) -> None:
    assert is_of_this_machine(host) is is_ours


def test_a_damaged_store_is_said_on_a_page(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    stored(file)
    base = open_store(file, new=False)
    base.execute("UPDATE runs SET started_at = 'x'")
    base.commit()
    base.close()
    status: list[str] = []
    environ = {"HTTP_HOST": "localhost", "REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
    (body,) = site(lambda: Runs(file), lambda _: {}, "")(environ, lambda said, _: status.append(said))

    assert status[0].startswith("500 ")
    assert str(file) in body.decode()


def test_no_runs_are_an_empty_list() -> None:
    class Empty:
        def entries(self) -> list[object]:
            return []

    environ = {"HTTP_HOST": "localhost", "REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
    status: list[str] = []
    list(site(lambda: nullcontext(Empty()), lambda _: {}, "")(environ, lambda said, _: status.append(said)))  # type: ignore[arg-type]

    assert status == ["200 OK"]


def test_what_listing_takes_is_refused_with_serve(tmp_path: Path) -> None:
    assert fourtuple("runs", "--serve", "127.0.0.1:9437", "--json").returncode == 2
    assert fourtuple("runs", "--serve", "127.0.0.1:9437", "show").returncode == 2
    assert fourtuple("runs", "--serve", "127.0.0.1:9437", "--store", str(tmp_path / "none.db")).returncode == 2
