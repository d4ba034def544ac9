"""From what all machines are to do together to what each of them does, as options; and the message that says so."""

from collections.abc import Mapping

from fourtuple.core.runs.orders import to_text
from fourtuple.core.runs.start import FleetPart
from fourtuple.fleet.messages import Prepare
from fourtuple.fleet.order import FleetOrder, Share

LONGER_S = 3600.0  # a machine that is not told to close does so by itself after this time


def prepare_message(order: FleetOrder, share: Share, numbers: Mapping[int, int]) -> Prepare:
    """The message that has a machine prepare its share. numbers: of the machines in the run, by seat"""
    names = {each.seat: each.member.name for each in order.parts}
    part = FleetPart(order.fleet, numbers[share.seat], share.member.name, names.get(share.instead_of, ""))
    return Prepare(order.kind, to_text(share.options), part, order.command, order.store)
