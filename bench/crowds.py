"""Very many connections in one process: to open a million, to close and to lose 200,000, and what memory they take."""

import time
from functools import partial

from bench.arena import HASH_ENTRIES, Contestant, commands_of, wait_quiet
from bench.measure import Finding, NotMeasuredError, Result, alternate, at_least, at_most, median, median_ratio, spread
from bench.opening import Opening, free_memory_bytes
from bench.rates import OPENED, opened, slowness

MANY, MILLION, MOST = 200_000, 1_000_000, 2_500_000
LARGE_TABLE, FULL = 8_388_608, 2  # entries; sockets in each, above which the large one is taken
MOST_NEEDS_BYTES = 21.5 * 2**30
PAIR_BYTES = 8000  # of kernel memory, roughly
LOSING_S = 60.0  # by then all must have been lost


def close(rounds: int, wanted: int = MANY) -> Result:
    """Close 200,000 connections by reset and by FIN, compared with the time in which they were opened.

    Until the kernel lists none of them at either end, as `closing_s` of the record has it, and until the client's
    engine has closed the last.
    """
    contestants = {"reset": _holding(wanted, "80-83"), "FIN": _holding(wanted, "80-83", "--fin")}
    runs = alternate({name: partial(opened, each, wanted) for name, each in contestants.items()}, rounds)
    findings, figures = [], []
    for name, openings in runs.items():
        share = median(each.closing_s / each.elapsed_s for each in openings)
        findings.append(Finding(f"by {name}, until the kernel lists none: time of opening", share, "×", at_most(0.6)))
        share = median(each.closed_s / each.elapsed_s for each in openings)
        findings.append(Finding(f"by {name}, until the engine has closed the last", share, "×"))
        took = {
            "opened": [each.elapsed_s for each in openings],
            "closed by the engine": [each.closed_s for each in openings],
            "none listed": [each.closing_s for each in openings],
        }
        figures += [f"{name:<6} {what:<22} {spread(values, 's')}" for what, values in took.items()]
    return Result(findings, commands_of(contestants), figures)


def losses(rounds: int, wanted: int = MANY) -> Result:
    """Kill the server that holds the other ends of 200,000 connections: until the client has noticed all losses.

    From the moment when the kernel has closed the last of the server's ends, and from the signal.
    """
    contestant = _holding(wanted, "80-83", f"--for {LOSING_S:g}")
    since_signal, since_last = zip(*(_lost(contestant, wanted) for _ in range(rounds)), strict=True)
    return Result(
        [
            Finding("all noticed, after the kernel had closed the last", median(since_last), "s", at_most(2)),
            Finding("all noticed, after the signal", median(since_signal), "s"),
        ],
        [*contestant.commands, "  kill -KILL of the server, once all are held"],
        [f"after the last    {spread(since_last, 's')}", f"after the signal  {spread(since_signal, 's')}"],
    )


def million(rounds: int, wanted: int = MILLION, yardstick: int = OPENED) -> Result:
    """Hold 1,000,000 connections, one process at each end, in memory that was touched before.

    Opening and closing are also told in seconds of a machine on which the C client opens 105,000 connections per second
    to fourtuple's server, which is where `hold` opened 73,000 before: there the goals were set.
    """
    slower = slowness(yardstick)
    contestant = _holding(wanted, "80-99", warm=True)
    openings = [opened(contestant, wanted) for _ in range(rounds)]
    share = wanted // 10
    first = [each.rate_between(0, share) for each in openings]
    last = [each.rate_between(wanted - share, wanted) for each in openings]
    user = [each.cpu_user_s / (each.cpu_user_s + each.cpu_system_s) * 100 for each in openings]
    opened_s, closing_s = [each.elapsed_s for each in openings], [each.closing_s for each in openings]
    findings = [
        Finding("opened within, on that machine", median(opened_s) / slower, "s", at_most(20)),
        Finding("closed within, on that machine", median(closing_s) / slower, "s", at_most(8)),
        Finding("opened within, here", median(opened_s), "s"),
        Finding("closed within, here", median(closing_s), "s"),
        Finding("client, resident memory", median(each.resident_bytes / 1e6 for each in openings), "MB", at_most(48)),
        Finding("client, CPU in user space", median(user), "%", at_most(5)),
        Finding("rate, last 100,000 compared with first", median_ratio(last, first), "×", at_least(0.9)),
    ]
    figures = [
        f"opened         {spread(opened_s, 's')}   {spread([each.rate_per_s for each in openings], '/s')}",
        f"first 100,000  {spread(first, '/s')}",
        f"last 100,000   {spread(last, '/s')}",
        f"closed         {spread([each.closed_s for each in openings], 's')} by the engine,"
        f" {spread(closing_s, 's')} until the kernel lists none",
        f"client CPU     {spread([each.cpu_user_s for each in openings], 's')} user,"
        f" {spread([each.cpu_system_s for each in openings], 's')} system, closing included",
        f"this machine is {slower:.2f} × as slow as that one",
    ]
    return Result(findings, contestant.commands, figures)


def most(rounds: int, wanted: int = MOST, still_s: float = 5.0) -> Result:
    """Hold 2,500,000 connections, both ends on this host: memory per connection, the kernel's and all other.

    Neither end polls the connections, which saves about 250 bytes each.
    """
    contestant = _holding(wanted, "80-129", "--watch census", server="--watch census", warm=True)
    seconds, pair_bytes = [], []
    for _ in range(rounds):
        wait_quiet(still_s)
        free_bytes = free_memory_bytes()
        needed_bytes = MOST_NEEDS_BYTES * wanted / MOST
        if free_bytes < needed_bytes:
            raise NotMeasuredError(
                f"{free_bytes / 2**30:.1f} GiB of memory are free, it takes {needed_bytes / 2**30:.1f}"
            )
        opening = opened(contestant, wanted)
        seconds.append(opening.elapsed_s)
        pair_bytes.append((free_bytes - opening.free_bytes) / wanted)
    findings = [
        Finding("opened within", median(seconds), "s", at_most(90)),
        Finding("memory per pair", median(pair_bytes) / 1000, "KB", at_most(8)),
    ]
    return Result(findings, contestant.commands, [f"rate           {spread([wanted / s for s in seconds], '/s')}"])


def _holding(wanted: int, ports: str, options: str = "", server: str = "", *, warm: bool = False) -> Contestant:
    """One process at each end."""
    ends = f"127.0.0.1:{ports}"
    served = " ".join(["fourtuple serve", ends, "--quiet --workers 1", server]).strip()
    held = " ".join(["python -m bench.opening --workers 1", *([options] if options else []), str(wanted), ends])
    table = LARGE_TABLE if 2 * wanted > HASH_ENTRIES * FULL else HASH_ENTRIES
    return Contestant(served, held, hash_entries=table, warm_bytes=wanted * PAIR_BYTES if warm else 0)


def _lost(contestant: Contestant, wanted: int) -> tuple[float, float]:
    """Return the seconds until all losses were noticed: since the server was killed, and since the last was lost.

    Established are the client's ends that it has not noticed, and the server's ends. There are no more of the latter
    when the kernel has closed the last; while the client closes what it noticed, the difference is a few.
    """
    with contestant.running() as (server, client):
        said = client.stderr.readline() if client.stderr else ""
        if not said.startswith("holding"):
            raise NotMeasuredError(f"not all were held: {said.strip()}")
        signal_ns = time.monotonic_ns()
        server.kill()
        opening = Opening.of(contestant.finish(client), wanted)
    noticed_ns, lost, _ = opening.losses[-1] if opening.losses else (0, 0, 0)
    if lost < wanted:
        raise NotMeasuredError(f"{lost:,} of {wanted:,} losses were noticed")
    few = wanted * 0.02
    over = (at_ns for at_ns, lost, established in opening.losses if established - (wanted - lost) <= few)
    last_ns = next(over, noticed_ns)
    return (noticed_ns - signal_ns) / 1e9, (noticed_ns - last_ns) / 1e9
