"""The far end of connections, as the kernel of a server's machine lists it."""

import json
import sys

import pytest

from tests.conftest import Ground
from tests.waiting import wait_until

COUNT = "import json, sys; from fourtuple.fleet.counted import counted; print(json.dumps(counted(sys.argv[1:])))"


@pytest.mark.parametrize(("address", "source"), [("127.0.0.1", "127.0.0.9"), ("[::1]", "::1")])
def test_connections_at_the_destinations_are_counted_by_their_other_end(
    ground: Ground, address: str, source: str
) -> None:
    """Established ones and accepted ones; those at other ports do not count."""

    def counted() -> dict[str, list[int]]:
        done = ground.run(sys.executable, "-c", COUNT, f"{address}:7000-7001")
        assert done.returncode == 0, done.stderr
        found: dict[str, list[int]] = json.loads(done.stdout)
        return found

    sources = ("--from", source) if ":" not in source else ()
    with ground.serving(f"{address}:7000-7002"):
        assert counted() == {}
        with ground.started("hold", "23", f"{address}:7000-7001", *sources):
            assert wait_until(lambda: counted() == {source: [23, 23]})
        with ground.started("hold", "7", f"{address}:7002", *sources):
            assert counted() == {}
