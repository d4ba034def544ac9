"""What is imported on the way: next to nothing, until there is something to count."""

import subprocess
import sys

import pytest

# A listener of its own; then what is imported once the code has run.
PROGRAM = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
address = listener.getsockname()
import fourtuple
{}
print(*sys.modules)
"""


def imported(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(code)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_itself_is_cheap() -> None:
    found = imported("")

    assert not {name for name in found if name.startswith("fourtuple.")}
    assert not found & {"numpy", "asyncio", "ssl", "rich", "click"}


@pytest.mark.parametrize("sources", ["None", "fourtuple.Sources('127.0.0.1')"])
def test_a_connection_takes_no_numpy(sources: str) -> None:
    """Nor asyncio. With one source there is nothing to look at."""
    found = imported(f"fourtuple.connect(address, sources={sources})")

    assert not found & {"numpy", "asyncio", "msgspec", "rich", "click", "fourtuple.verbs"}


def test_streams_take_no_numpy() -> None:
    code = "import asyncio; asyncio.run(fourtuple.open_connection(*address))"

    assert not imported(code) & {"numpy", "msgspec", "rich", "click", "fourtuple.verbs"}
