"""Past half of the port range, connect() is suddenly about 50 times slower: it tries all ports of one parity first.

IP_LOCAL_PORT_RANGE, set to the range that applies anyway, makes the kernel try every port in turn.
"""

import contextlib
import socket
import statistics
import struct
import time
from collections.abc import Mapping

from fourtuple.core.runs.proof import Expected
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.lessons.stage import HERE, IP_LOCAL_PORT_RANGE, Demonstration, Progress, Stage, Steps
from fourtuple.verbs.background import holding, serving
from fourtuple.verbs.lab import port_facts, port_range_is_quick

CLAIM = "connect() is ~50 times slower past half of the port range; IP_LOCAL_PORT_RANGE cures that"

LEVELS = (10, 49, 51, 99)  # percent of the range in use
TRIALS = 40
PLAIN, CURE = "slower at 51 % than at 49 %", "… with IP_LOCAL_PORT_RANGE"
SLOWER, CURED = Expected(least=5, unit="×"), Expected(most=3, unit="×")  # typical: 40 and 1, a wide margin for both


def show(stage: Stage) -> Steps:
    curable = port_range_is_quick()
    ports = port_facts().port_range
    server = Endpoint.parse(f"{HERE}:{stage.port(8000)}")
    plain_us: dict[int, float] = {}
    cured_us: dict[int, float] = {}
    with serving(str(server)), contextlib.ExitStack() as held:
        filled = 0
        for number, level in enumerate(LEVELS):
            yield Progress(number, len(LEVELS))
            count = len(ports) * level // 100 - filled
            # Below half, fill the range as a plain client does: one parity. Above half, use the fastest way.
            strategy = "late" if level > 51 and curable else "plain"
            held.enter_context(holding(str(count), str(server), "--strategy", strategy))
            filled += count
            plain_us[level] = _median_us(server, None)
            if curable:
                cured_us[level] = _median_us(server, ports)
    predicted, observed = {PLAIN: SLOWER}, {PLAIN: _times(plain_us)}
    if curable:
        predicted[CURE], observed[CURE] = CURED, _times(cured_us)
    return Demonstration(
        did=f"measure the median time of {TRIALS} connect() calls to {server}, with {', '.join(map(str, LEVELS))} % of"
        f" the port range {ports.start}-{ports[-1]} in use",
        predicted=predicted,
        observed=observed,
        evidence={
            "plain connect(), median in µs": _by_level(plain_us),
            "with IP_LOCAL_PORT_RANGE, median in µs": _by_level(cured_us),
        },
        note="" if curable else "the cure was left out: it needs Linux 6.8 or newer",
    )


def _times(by_level_us: dict[int, float]) -> float:
    return round(by_level_us[51] / by_level_us[49], 1)


def _median_us(server: Endpoint, ports: range | None) -> float:
    """The median time of connect() now. Each connection is reset at once, so that the level stays the same."""
    took_us = []
    for _ in range(TRIALS):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if ports:
                value = struct.pack("=I", ports.start | (ports.stop - 1) << 16)
                sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, value)
            start_ns = time.perf_counter_ns()
            sock.connect((str(server.address), server.port))
            took_us.append((time.perf_counter_ns() - start_ns) / 1000)
    return round(statistics.median(took_us), 1)


def _by_level(by_level_us: Mapping[int, float]) -> dict[str, float]:
    return {f"{level} % in use": us for level, us in by_level_us.items()}
