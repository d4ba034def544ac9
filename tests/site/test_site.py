"""The site of the documentation: it builds, its links lead somewhere, and a browser needs nothing but its files."""

import importlib.util
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from fourtuple.cli import COMMANDS
from fourtuple.core.why.leads import PLATEAUS
from tests.conftest import need
from tests.faces.page.conftest import browser as browser  # the fixture
from tests.site import SITE
from tests.site.__main__ import main
from tests.site.commands import commands
from tests.site.numbers import numbers
from tests.site.pages import moved, pages
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE_PX = 390


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where a local server has the site."""
    need(importlib.util.find_spec("zensical"), "zensical: pip install '.[docs]'")
    assert main() == 0, "a link or an anchor of the pages leads nowhere, or the site could not be built"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(SITE))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page(browser: "Browser", site: str) -> "Iterator[Page]":
    """A page that fails the test where anything but a file of the site is asked for, or is missing."""
    page = browser.new_page(viewport={"width": PHONE_PX, "height": 844})
    asked, failed = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    yield page
    page.close()
    assert failed == []
    assert [url for url in asked if not url.startswith((site, SITE.as_uri(), "data:", "blob:"))] == []


def test_every_command_is_there() -> None:
    text = commands()

    assert [name for name in COMMANDS if f"\n## fourtuple {name}\n" not in text] == []


def test_every_number_and_errno_of_why_is_there() -> None:
    text = numbers()

    assert text.count(" to ") >= len([each for each in PLATEAUS if each.first != each.last])
    for found in ("28,242", "### 99 EADDRNOTAVAIL", "| 1013 | WebSocket |", "65,536"):
        assert found in text


def test_links_of_a_moved_page_lead_to_pages() -> None:
    assert moved("[a](docs/hold.md#stages) [b](CONTRIBUTING.md)", "README.md", "index.md") == (
        "[a](hold.md#stages) [b](contributing.md)"
    )
    assert moved("[a](../hold.md) [b](../../contrib)", "docs/tutorials/x.md", "tutorials/x.md") == "[a](../hold.md) b"
    assert moved("![a](docs/a.png)", "README.md", "index.md") == "![a](a.png)"


def test_every_page_opens_on_a_phone_and_loads_nothing_from_elsewhere(page: "Page", site: str) -> None:
    for name in pages():
        if name.endswith(".md"):
            page.goto(f"{site}/{name.removesuffix('.md')}.html", wait_until="networkidle")
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

            assert page.locator("article h1").count() == 1, name
            assert wide <= 0, f"{name} scrolls sideways"


@pytest.mark.parametrize("served", [True, False], ids=["served", "as-a-file"])
def test_the_search_finds_an_errno(page: "Page", site: str, served: bool) -> None:
    page.goto(f"{site if served else SITE.as_uri()}/tutorials/myth.html")
    search = page.get_by_role("combobox")

    def is_open() -> bool:  # a key that is pressed before the page's script has been loaded opens nothing
        if not search.is_visible():
            page.keyboard.press("Control+k")
            page.wait_for_timeout(200)
        return bool(search.is_visible())

    wait_until(is_open)
    search.press_sequentially("ETOOMANYREFS", delay=50)  # each letter is a search, and its answer leaves the text alone

    page.locator("a[href*='numbers.html']", has_text="ETOOMANYREFS").first.wait_for()
    assert search.input_value() == "ETOOMANYREFS"
