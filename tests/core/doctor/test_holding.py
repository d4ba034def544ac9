"""Why ports are in use: by the state of the connections, and by whom their other ends belong to."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.doctor.records import Trouble
from fourtuple.core.limits.time_wait import TIME_WAIT_TIMER
from fourtuple.core.snapshot.coding import decode, encode
from fourtuple.core.snapshot.records import HostAddress, HostNamespace, HostProcess, Snapshot
from fourtuple.core.sockets.table import LISTENER, SOCK_DIAG, SOCKET, State
from tests.core.census.test_usage import Row, filled
from tests.core.doctor.hosts import FACTS, HERE, LOW, NETNS, PID, PORTS, THERE, both, connections, snapshot

SERVER = HostProcess(77, "server", netns="net:[2]")


def others(count: int, state: State, *, inode: int = 1, there: str = THERE, here: str = HERE) -> dict[str, Any]:
    """The other ends of `connections`, in a namespace of a server of this host."""
    rows = [Row(there, 80, here, LOW + n, state, inode=inode * (n + 1)) for n in range(count)]
    return {
        "sockets": filled(rows, SOCKET),
        "socket_pids": np.full(count, SERVER.pid if inode else 0, np.int32),
        "listeners": filled([Row(there, 80, state=State.LISTEN, recv_q=1, send_q=5, inode=9)], LISTENER),
        "listener_pids": np.array([SERVER.pid], np.int32),
        "read_from": SOCK_DIAG,
    }


def orphaned(count: int) -> dict[str, Any]:
    """Connections in FIN_WAIT2 that their program has closed."""
    found = connections(count, State.FIN_WAIT2)
    found["sockets"]["timer"], found["sockets"]["inode"] = TIME_WAIT_TIMER, 0
    found["socket_pids"][:] = 0
    return found


def host(mine: dict[str, Any], theirs: dict[str, Any] | None = None, **changes: Any) -> Snapshot:
    """A client in one namespace, and perhaps a server in another one."""
    made = snapshot(more=[SERVER], **mine, **changes)
    spaces = dict(made.namespaces)
    if theirs is not None:
        spaces["net:[2]"] = HostNamespace("net:[2]", pid=SERVER.pid, **theirs)
    return replace(made, namespaces=spaces)


def short(made: Snapshot) -> Trouble:
    (found,) = (trouble for trouble in diagnose(made).findings if trouble.key == "source-ports")
    return found


def remedies(trouble: Trouble) -> str:
    return "; ".join(cure.do for cure in trouble.cures)


@pytest.mark.parametrize("state", [state for state in State if state in range(1, 12) and state not in (7, 10, 3)])
def test_the_state_of_most_connections_is_the_cause(state: State) -> None:
    """Each state by its name in the evidence; whoever has to act next is named in the cause, and not the range."""
    trouble = short(host(connections(PORTS, state)))

    assert f"{PORTS} {state.name} on {PORTS} usable ports" in trouble.evidence
    assert state is State.ESTABLISHED or state.name in trouble.cause
    assert trouble.cures


def test_several_states_are_several_causes() -> None:
    """What a quarter of them does is a cause, what fewer do is none; the most comes first."""
    mixed = both(
        connections(50, State.FIN_WAIT2),
        connections(40, State.SYN_SENT, first=LOW + 50),
        connections(10, State.LAST_ACK, first=LOW + 90),
    )
    cause = short(host(mixed)).cause

    assert cause.index("50 were closed here") < cause.index("connect() of 40")
    assert "LAST_ACK" not in cause


def test_connections_that_are_open_are_not_told_to_stay_open() -> None:
    open_, closed = short(host(connections(PORTS))), short(host(connections(PORTS, State.TIME_WAIT)))

    assert "use fewer connections" in remedies(open_)
    assert "keep connections open" not in remedies(open_)
    assert "keep connections open" in remedies(closed)


def test_whoever_does_not_close_the_other_end_is_named() -> None:
    """The client has closed and is gone: the finding is the server's, which has the other ends in CLOSE_WAIT."""
    trouble = short(host(orphaned(PORTS), others(PORTS, State.CLOSE_WAIT), sysctls={"net.ipv4.tcp_fin_timeout": "60"}))

    assert "server (77) has 100 of the other ends, in CLOSE_WAIT" in trouble.cause
    assert trouble.subject.pid == SERVER.pid
    assert any("tcp_fin_timeout = 60" in each for each in trouble.evidence)
    assert trouble.cures[0].do.startswith("restart server (77)")
    assert "tcp_fin_timeout=10" in remedies(trouble)


def test_a_short_timeout_is_not_made_shorter() -> None:
    trouble = short(host(orphaned(PORTS), sysctls={"net.ipv4.tcp_fin_timeout": "5"}))

    assert "tcp_fin_timeout=" not in remedies(trouble)


def test_a_program_that_only_shuts_down_keeps_its_ports_without_a_timer() -> None:
    trouble = short(host(connections(PORTS, State.FIN_WAIT2)))

    assert "no timer ends them" in trouble.cause
    assert "tcp_fin_timeout=" not in remedies(trouble)


def test_the_other_ends_of_another_host_are_not_known() -> None:
    trouble = short(host(orphaned(PORTS), others(PORTS, State.CLOSE_WAIT, there="10.0.0.8")))

    assert "server" not in trouble.cause
    assert not any("on the same host" in each for each in trouble.evidence)


def test_a_loopback_address_of_another_namespace_is_not_the_other_end() -> None:
    rows = [Row("127.0.0.1", LOW + n, "127.0.0.1", 80, State.FIN_WAIT2, inode=n + 1) for n in range(PORTS)]
    mine = {"sockets": filled(rows, SOCKET), "socket_pids": np.full(PORTS, PID, np.int32)}
    trouble = short(host(mine, others(PORTS, State.CLOSE_WAIT, there="127.0.0.1", here="127.0.0.1")))

    assert not any("on the same host" in each for each in trouble.evidence)


def test_ends_that_are_not_accepted_are_those_of_the_listener() -> None:
    """Open at one end and not accepted at the other, or closed at one end and never accepted."""
    open_ = short(host(connections(PORTS), others(PORTS, State.ESTABLISHED, inode=0)))
    closed = short(host(orphaned(PORTS), others(PORTS, State.CLOSE_WAIT, inode=0)))

    for trouble in (open_, closed):
        assert "find out why server (77) does not accept" in remedies(trouble)


def test_a_full_accept_queue_of_this_host_answers_no_syn() -> None:
    full, free = others(0, State.ESTABLISHED), others(0, State.ESTABLISHED)
    full["listeners"]["recv_q"] = 6

    assert (
        "the accept queue of server (77), on the same host, is full"
        in short(host(connections(PORTS, State.SYN_SENT), full)).cause
    )
    assert "is full" in short(host(connections(PORTS, State.SYN_SENT), free)).cause
    assert "server" not in short(host(connections(PORTS, State.SYN_SENT), free)).cause


def test_a_listener_on_every_address_is_not_that_of_another_host() -> None:
    """It counts where its namespace has the destination as an address."""
    full = others(0, State.ESTABLISHED, there="0.0.0.0")
    full["listeners"]["recv_q"] = 6
    mine = connections(PORTS, State.SYN_SENT)

    assert "on the same host, is full" not in short(host(mine, full)).cause
    assert (
        "on the same host, is full" in short(host(mine, full | {"addresses": (HostAddress(THERE, 24, "eth0"),)})).cause
    )


def test_a_peer_of_this_host_that_does_not_read_is_named() -> None:
    trouble = short(host(connections(PORTS, State.FIN_WAIT1), others(PORTS, State.ESTABLISHED)))

    assert "server (77) does not read" in trouble.cause


@pytest.mark.parametrize(("reuse", "works"), [(0, False), (1, True), (2, False)])
def test_time_wait_says_how_many_and_when_and_no_rate(reuse: int, works: bool) -> None:
    """All may have been closed at once. Where connect() takes their ports again, what does that is not advised."""
    just_now = both(connections(90, State.TIME_WAIT, age_s=0.2), connections(10, first=LOW + 90))
    trouble = short(host(just_now, ports=replace(FACTS, tw_reuse=reuse)))

    assert "90 connections within the last 1 s" in trouble.cause
    assert "per second" not in trouble.cause
    assert ("after 1 s (net.ipv4.tcp_tw_reuse = 1)" in trouble.cause) is works
    assert ("for 60 s" in trouble.cause) is not works
    assert ("tcp_tw_reuse=1" in remedies(trouble)) is not works


def test_time_wait_without_timers_was_closed_within_a_minute() -> None:
    """`ss -tan` shows no timers."""
    spread = both(connections(50, State.TIME_WAIT, age_s=40), connections(50, State.TIME_WAIT, 2, LOW + 50))

    assert "between 40 s and 2 s ago" in short(host(spread)).cause
    assert "within the last 60 s" in short(host(connections(PORTS, State.TIME_WAIT, age_s=0))).cause


def test_a_file_gives_the_same_cause() -> None:
    """A snapshot that was written and read again has the other ends, though not their remote ports."""
    made = host(orphaned(PORTS), others(PORTS, State.CLOSE_WAIT))

    assert short(decode(encode(made), "file")).cause == short(made).cause
    assert NETNS in made.namespaces
