"""budget(): what it says is what can then be held."""

import pytest

from fourtuple.client.budget import budget
from fourtuple.client.sources import Sources
from tests.client.inside import inside
from tests.client.servers import HOST, PORT, hold, listening

THREE = [f"{HOST}:8001", f"{HOST}:8002-8003"]


@pytest.mark.parametrize("given", [("127.0.0.1-2",), ("127.0.0.1", "127.0.0.2")])
@pytest.mark.parametrize("listed", [False, True])
def test_it_is_what_is_then_held(given: tuple[str, ...], listed: bool) -> None:
    """2 sources × 3 destinations × 64 ports, less what is held already; from Sources and from a list."""

    def ask() -> tuple[list[int | None], int, str | None]:
        with listening(port=8001), listening(port=8002), listening(port=8003):
            sources = Sources(*given)
            kept = [hold((HOST, 8002), sources, most=20)[0]]
            before = budget(list(given) if listed else sources, THREE)
            kept += [hold((HOST, port), sources)[0] for port in (8001, 8002, 8003)]
            after = budget(list(given) if listed else sources, THREE)
            return [before.n, before.n_max, after.n, after.n_max], sum(map(len, kept[1:])), before.limited_by

    said, held, limited_by = inside(ask)

    assert held == 2 * 3 * 64 - 20
    assert said == [held, held, 0, 0]
    assert limited_by


def test_without_sources_it_is_what_the_route_gives() -> None:
    def ask() -> tuple[int | None, int]:
        with listening(port=PORT):
            return budget((), [f"{HOST}:{PORT}"]).n, len(hold()[0])

    assert inside(ask) == (64, 64)
