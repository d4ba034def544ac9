"""A place to try things: a private network namespace, and what can be set in it."""

from fourtuple.core.errors import CannotError
from fourtuple.kernel.netns import Namespace

Lab = Namespace


def namespace_refusal() -> str | None:
    """Why this user cannot have a private network namespace here; None where one can be had."""
    try:
        with Namespace():
            return None
    except CannotError as error:
        return error.stopped_by
