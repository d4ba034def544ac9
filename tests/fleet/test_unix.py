"""A Unix socket is on one host: a fleet refuses it before it asks any machine."""

from collections.abc import Callable

import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.churn_orders import ChurnOptions
from fourtuple.core.runs.orders import HoldOptions, ServeOptions
from fourtuple.fleet.divide import FleetOptions
from fourtuple.fleet.run import fleet_churn, fleet_hold, fleet_serve
from tests.fleet.fakes import FakeLinks

NOBODY, FLEET = FakeLinks([]), FleetOptions()


@pytest.mark.parametrize(
    "run",
    [
        lambda: fleet_hold(NOBODY, HoldOptions(7, ("unix:/run/x.sock",)), FLEET),
        lambda: fleet_churn(NOBODY, ChurnOptions(7.0, ("unix:@x",)), FLEET),
        lambda: fleet_serve(NOBODY, ServeOptions(("127.0.0.1:80", "unix:/run/x.sock")), FLEET),
    ],
)
def test_a_unix_socket_is_refused(run: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match="one host"):
        run()
