"""How fast the reader of `why` goes through logs: of many kinds, with no failure in them and with some."""

import time
from collections.abc import Iterator
from functools import partial
from random import Random

from bench.measure import Finding, Result, alternate, at_least, median, spread
from fourtuple.core.why.reader import read_findings

LINES = 200_000  # 26 MB
CHUNK = 1 << 16  # bytes
ORDINARY = (
    '10.1.{a}.{b} - - [29/Nov/2026:02:{s}:{s} +0000] "GET /api/v1/items/{n} HTTP/1.1" 200 {n} "https://example.org"'
    ' "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"',
    "Nov 29 02:{s}:{s} web{b} sshd[{n}]: Accepted publickey for deploy from 10.1.{a}.{b} port {n} ssh2: ED25519 {n}",
    "2026-11-29T02:{s}:{s}.{a}Z INFO  [http-nio-8080-exec-{b}] com.example.Orders - order {n} took {a} ms by {b}",
    '{{"level":"info","ts":17959200{s}.{a},"caller":"server/handler.go:{a}","msg":"request completed","status":200,'
    '"duration_ms":{a},"path":"/v1/users/{n}","request_id":"{n:08x}"}}',
    "Nov 29 02:{s}:{s} web{b} systemd[1]: Started session-{n}.scope - Session {n} of user deploy.",
    "2026-11-29 02:{s}:{s}.{a} UTC [{n}] LOG:  checkpoint complete: wrote {n} buffers ({b}.{a}%); 0 WAL files added",
    "[{n}.{n:06d}] usb 1-{b}: new high-speed USB device number {a} using xhci_hcd",
    'time="2026-11-29T02:{s}:{s}Z" level=info msg="connection opened" client=10.1.{a}.{b}:{n} open={b} component=srv',
)
FAILURE = (
    "2026/11/29 02:{s}:{s} [crit] 812#812: *{n} connect() to 10.0.0.{b}:8080 failed (99: Cannot assign requested"
    ' address) while connecting to upstream, client: 10.1.{a}.{b}, server: example.org, upstream: "http://10.0.0.{b}:8080/"'
)


def logs(rounds: int) -> Result:
    """Read 200,000 lines of eight kinds: nginx, sshd, log4j, zap, systemd, PostgreSQL, dmesg, logrus. CPU time."""
    texts = {
        f"{name} of the lines report a failure": text(share)
        for name, share in (("none", 0.0), ("1 in 1,000", 0.001), ("1 in 100", 0.01), ("1 in 10", 0.1))
    }
    speeds = alternate({name: partial(_speed, data) for name, data in texts.items()}, rounds)
    goals = [at_least(20), at_least(20), None, None]
    return Result(
        [Finding(name, median(found), "MB/s", goal) for (name, found), goal in zip(speeds.items(), goals, strict=True)],
        ["fourtuple.core.why.reader.read_findings(chunks of 64 KiB)"],
        [f"{name:<40} {spread(found, 'MB/s')}" for name, found in speeds.items()],
    )


def text(share: float) -> bytes:
    """Return the lines, of which this share reports a failure."""
    random = Random(5)  # noqa: S311 - no secret
    return "".join(_lines(random, share)).encode()


def _lines(random: Random, share: float) -> Iterator[str]:
    for _ in range(LINES):
        line = FAILURE if random.random() < share else random.choice(ORDINARY)
        numbers = {"a": random.randrange(100, 256), "b": random.randrange(100), "n": random.randrange(100, 60_000)}
        yield line.format(s=random.randrange(10, 60), **numbers) + "\n"


def _speed(data: bytes) -> float:
    start_s = time.process_time()
    read_findings(data[at : at + CHUNK] for at in range(0, len(data), CHUNK))
    return len(data) / 1e6 / (time.process_time() - start_s)
