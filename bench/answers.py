"""How soon commands answer: on an idle host, with many sockets, and `hold` until its first connection."""

from functools import partial

from bench.arena import HASH_ENTRIES, PORTS, first_s, timed, wait_quiet
from bench.measure import Finding, Result, alternate, at_most, median, spread
from bench.timing import HOLD
from fourtuple.verbs.background import holding, serving
from fourtuple.verbs.lab import Lab

TIMES = 5  # in each round
AT_ONCE_S, ANSWER_S, FIRST_S = 0.08, 0.20, 0.35
ANSWERS = {
    "fourtuple --help": AT_ONCE_S,
    "fourtuple --version": AT_ONCE_S,
    "fourtuple census": ANSWER_S,
    "fourtuple limits": ANSWER_S,
    "fourtuple why EADDRNOTAVAIL": ANSWER_S,
    "fourtuple plan 1000 127.0.0.1:80": ANSWER_S,
}


def answers(rounds: int, times: int = TIMES) -> Result:
    """Commands from start to end in an idle network namespace, whose table has 262,144 entries; 5 times per round."""
    with Lab(ports=PORTS, hash_entries=HASH_ENTRIES) as lab:
        for command in ANSWERS:
            timed(lab, command)  # once unmeasured: byte code, probes of the kernel
        turns = alternate({command: partial(timed, lab, command, times) for command in ANSWERS}, rounds)
    took = {command: [each for turn in found for each in turn] for command, found in turns.items()}
    findings = [
        Finding(command.removeprefix("fourtuple "), median(wall_s for wall_s, _ in took[command]), "s", at_most(goal_s))
        for command, goal_s in ANSWERS.items()
    ]
    figures = []
    for command, each in took.items():
        wall, cpu = (spread(seconds, "s") for seconds in zip(*each, strict=True))
        figures.append(f"{command:<34} {wall:<30} CPU {cpu}")
    return Result(findings, list(ANSWERS), figures)


def first_connection(rounds: int, times: int = TIMES) -> Result:
    """`fourtuple hold 100` from its start until its first connection has been accepted, 5 times per round.

    The witness is a program that listens, starts the command, and waits in accept().
    """
    with Lab(ports=PORTS) as lab:
        first_s(lab, 1)
        took_s = [each for _ in range(rounds) for each in first_s(lab, times)]
    return Result(
        [Finding("start to first connection", median(took_s), "s", at_most(FIRST_S))],
        [HOLD.format(port="PORT")],
        [spread(took_s, "s")],
    )


def limits(rounds: int, connections: int = 100_000) -> Result:
    """`fourtuple limits` with 100,000 connections of this host to itself: 200,000 sockets. ss only lists them."""
    ends = "127.0.0.1:80-83"
    commands = {"fourtuple": f"fourtuple limits {ends}", "probed": f"fourtuple limits {ends} --probe", "ss": "ss -Htan"}
    with Lab(ports=range(32768, 61000), hash_entries=HASH_ENTRIES) as lab:
        prefix = lab.command([])
        with serving(ends, prefix=prefix), holding(str(connections), ends, prefix=prefix):
            found = alternate({name: partial(timed, lab, command) for name, command in commands.items()}, rounds)
    wait_quiet()
    took_s = {name: [wall_s for turn in turns for wall_s, _ in turn] for name, turns in found.items()}
    return Result(
        [Finding("answers within", median(took_s["fourtuple"]), "s", at_most(0.5))],
        [f"fourtuple serve {ends}", f"fourtuple hold {connections} {ends}", *commands.values()],
        [f"{name:<14} {spread(each, 's')}" for name, each in took_s.items()],
    )
