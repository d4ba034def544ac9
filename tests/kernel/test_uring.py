"""What the ring loop needs of a kernel: each missing feature has its consequence, and its message."""

import os
from dataclasses import replace

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.releases import parse_release
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.engine.loops import choose as choosing
from fourtuple.engine.loops.choose import choose
from fourtuple.kernel.uring import NEEDED, Features, Opcode, features
from tests.conftest import need

# All that a kernel may have, except that rings are really made: NO_SQARRAY must be what this kernel has.
ALL = Features(
    opcodes=frozenset(Opcode), setsockopt=True, no_sqarray=features().no_sqarray, dontwait=True, releases=True
)


@pytest.fixture
def rings() -> None:
    refusal = features().refusal
    need(refusal is None, f"io_uring ({refusal})")


@pytest.mark.parametrize("missing", sorted(NEEDED), ids=lambda opcode: opcode.name)
def test_without_what_every_connection_needs_epoll_is_taken(missing: Opcode, monkeypatch: pytest.MonkeyPatch) -> None:
    can = replace(ALL, opcodes=ALL.opcodes - {missing})
    monkeypatch.setattr(choosing, "features", lambda: can)

    assert choose(LoopName.AUTO).name == "epoll"
    assert missing.name in choose(LoopName.AUTO).because
    with pytest.raises(CannotError, match=missing.name):
        choose(LoopName.RING)


@pytest.mark.usefixtures("rings")
@pytest.mark.parametrize("missing", sorted(frozenset(Opcode) - NEEDED), ids=lambda opcode: opcode.name)
def test_without_the_others_it_is_still_a_ring(missing: Opcode, monkeypatch: pytest.MonkeyPatch) -> None:
    need(features().why_not is None, f"io_uring ({features().why_not})")
    can = replace(ALL, opcodes=ALL.opcodes - {missing})
    monkeypatch.setattr(choosing, "features", lambda: can)

    assert choose(LoopName.AUTO).name == "ring"
    assert can.prepares(bind=False) == (missing in (Opcode.BIND, Opcode.FIXED_FD_INSTALL))
    assert can.prepares(bind=True) == (missing is Opcode.FIXED_FD_INSTALL)


@pytest.mark.usefixtures("rings")
def test_a_log_needs_a_kernel_that_can_tell_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    need(features().why_not is None, f"io_uring ({features().why_not})")
    can = replace(ALL, opcodes=ALL.opcodes - {Opcode.FIXED_FD_INSTALL})
    monkeypatch.setattr(choosing, "features", lambda: can)

    assert choose(LoopName.AUTO, log=True).name == "epoll"
    assert choose(LoopName.AUTO, log=False).name == "ring"
    with pytest.raises(CannotError, match="log"):
        choose(LoopName.RING, log=True)


def test_a_refusal_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "features", lambda: Features(refusal="not permitted"))

    assert choose(LoopName.AUTO).because == "not permitted"


def test_the_probe_of_this_kernel_finds_what_its_version_has() -> None:
    """On Linux 6.11 and later every feature is available, if io_uring is permitted at all."""
    can = features()
    need(can.refusal is None, f"io_uring ({can.refusal})")
    need(parse_release(os.uname().release) >= (6, 11), "Linux 6.11")

    assert can.opcodes >= frozenset(Opcode)
    assert (can.setsockopt, can.no_sqarray, can.dontwait, can.describes) == (True, True, True, True)
