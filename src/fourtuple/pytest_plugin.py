"""A pytest fixture that checks whether a program shares source ports.

def test_my_client(fourtuple_lab):
    verdict = fourtuple_lab.check([sys.executable, "my_client.py", "{dest1}", "{dest2}", "{dest3}"])
    assert verdict.shared, str(verdict)
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fourtuple.verbs.check.fixture import ProgramLab

MARKER = "fourtuple_lab(ports=64, destinations=3, sources=1): the size of the lab of the fixture fourtuple_lab"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def fourtuple_lab(request: pytest.FixtureRequest) -> "Iterator[ProgramLab]":
    """A `fourtuple.verbs.check.fixture.ProgramLab`, removed after the test.

    If no private network namespace is permitted, the test is skipped with the reason; with FOURTUPLE_REQUIRE_ALL=1 in
    the environment, it fails.
    """
    from fourtuple.verbs.check.fixture import ProgramLab
    from fourtuple.verbs.lab import namespace_refusal

    refusal = namespace_refusal()
    if refusal:
        reason = f"fourtuple_lab needs a private network namespace: {refusal}"
        pytest.fail(reason) if os.environ.get("FOURTUPLE_REQUIRE_ALL") == "1" else pytest.skip(reason)
    marker = request.node.get_closest_marker("fourtuple_lab")
    with ProgramLab(**(marker.kwargs if marker else {})) as lab:
        yield lab
