"""The start of a run, as the screens name it."""

from dataclasses import replace

from tests import made


def test_a_name_with_several_addresses_is_named_with_their_number() -> None:
    """With all of its ports, and not the other destinations."""

    planned = made.start().planned
    assert planned is not None
    several = replace(
        planned, destinations=("db.example:80", "192.0.2.1:80", "db.example:81-90"), resolved=(made.RESOLVED,)
    )
    first = replace(several, resolved=(replace(made.RESOLVED, used=made.THREE[:1]),))
    assert several.targets == ("db.example:80 (3 addresses)", "192.0.2.1:80", "db.example:81-90 (3 addresses)")
    assert first.targets[0] == "db.example:80 (1 of 3 addresses)"
    assert planned.targets == planned.destinations
