"""Command lines, built from the commands' own tables of options, with strange values in some places."""

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import click

from fourtuple.cli import ALIASES, cli
from fourtuple.core.errors import UsageError
from fourtuple.core.units import parse_count
from tests.fuzz import mutations
from tests.fuzz.running import command

# Options that change the host, or open a window. Without --anyway, hold refuses what does not fit.
NEVER = {"--apply", "--open", "--anyway", "--fill-memory"}
# What a command gets behind everything else, so that it is over soon; a later option replaces an earlier one.
BEHIND = {
    "hold": ["--for", "0.05s", "--no-store"],
    "churn": ["--for", "0.05s", "--no-store", "--timeout", "0.5s"],
    "serve": ["--for", "0.05s", "--no-store"],
    "prove": ["--no-store"],
    "check": ["--for", "0.3s", "--settle", "0.1s"],
    "doctor": ["--for", "0.05s"],
}
# Commands that start processes take a hundred times as long as the others.
WEIGHTS = {
    "hold": 6,
    "churn": 4,
    "serve": 4,
    "limits": 6,
    "plan": 6,
    "why": 8,
    "census": 6,
    "doctor": 3,
    "runs": 6,
    "check": 1,
    "lab": 1,
    "prove": 1,
}
MOST, LEAST_HUGE = 20, 10**13  # connections: few, or more than any host has
VALUES = {
    "N": ["1", "7", "20", "1.5k", "1e3", "1,000", "-5", "20K", "5m", "many", "10000000000000k"],
    "TIME": ["0s", "5ms", "1s", "10", "1h", "-1s", "1m30s", "30s1m", "2min", "1d", "-5"],
    "RATE": ["1/s", "20k/s", "0", "9999999/s", "20K/s", "3/m", "-1/s"],
    "NAME=VALUE": [
        "fs.nr_open=1M",
        "net.ipv4.ip_local_port_range=1024 65535",
        "memory=0B",
        "nat.ports=0",
        "x",
        "=",
        "memory=",
    ],
    "GATEWAY": ["aws", "aws-instance", "azure-load-balancer", "gcp-dynamic", "other"],
    "TEXT|@FILE|SIZE": ["ping", "32B", "@/dev/null", "@/no/such", "@/dev/zero", "99999TiB", "32GB", "5k", r"a\r\n"],
    "ADDRESS:PORT": ["127.0.0.1:0", "7777", ":7777", "*:7777", "127.0.0.1:7777-7778", "1.2.3:80", "[::1]", "db:1"],
}
ENDPOINTS = [
    "127.0.0.1:7777",
    "127.0.0.1:7777-7779",
    "[::1]:7777",
    "localhost:7777",
    "127.0.0.2",
    "0.0.0.0:7777",
    "http://127.0.0.1:80/x",
    "8000",
    "::1:8000",
    "224.0.0.1:80",
    "10.9.9.9:80",
    "[fe80::1]:80",
    "1.2.3:80",
    "127.1:7777",
    "0x7f.1:7777",
    "010.0.0.1:7777",
    "*:7777",
    ":7777",
    "127.0.0.1:7777,127.0.0.1:7778",
    "１２７.1:7777",
    "[::1]",
    "unix:@fourtuple-fuzz",
    "unix:/no/such/x.sock",
]
ADDRESSES = [
    "127.0.0.1",
    "127.0.0.2-9",
    "127.0.0.0/29",
    "127.0.0.1:40000-40009",
    "::1",
    "fd00::/64",
    "10.9.9.9",
    "1.2.3",
    "127.1",
]
TEXTS = [
    "28232",
    "99",
    "EADDRNOTAVAIL",
    "dial tcp 10.0.0.4:0->10.0.0.9:80: connect: cannot assign requested address",
    "OSError: [Errno 98] Address already in use",
    "accept4() failed (24: Too many open files)",
    "HTTPConnectionPool(host='127.0.0.1', port=8000): Max retries exceeded",
    "it stops at 28,232 connections",
]
MODES = ["greet:hi", "hold", "echo", "http", "close", "shared", "bound", "10", "1024-65535", "reached", "killed"]
COMMANDS = [["true"], ["false"], ["/no/such/program"], ["sh", "-c", "exit 3"], [""], ["true", "{dest9}", "{source1}"]]


def cases(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with one command line after the other; empty: nothing."""
    names = sorted(cli.commands)
    while True:
        arguments = command_line(random, random.choices(names, [WEIGHTS.get(name, 3) for name in names])[0], folder)
        wrong = command(arguments)
        yield wrong and f"fourtuple {arguments!a}\n{wrong}"


def command_line(random: Random, name: str, folder: Path) -> list[str]:
    """The arguments of one command."""
    chosen = cli.commands[name]
    words = [name]
    if isinstance(chosen, click.Group) and random.random() < 0.7:
        words += list(_options(random, chosen, folder))
        name = random.choice(sorted(chosen.commands))
        chosen = chosen.commands[name]
        words.append(name)
    words += _options(random, chosen, folder)
    given = [
        word for each in chosen.params if isinstance(each, click.Argument) for word in _argument(random, each, folder)
    ]
    if words[0] == "prove" and not given:
        given = ["theory"]  # without names all lessons run, which takes a minute
    words += [*BEHIND.get(words[0], []), *given]
    return [word.replace("\0", "") for word in words if word not in NEVER]


def _options(random: Random, chosen: click.Command, folder: Path) -> Iterator[str]:
    options = [each for each in chosen.params if isinstance(each, click.Option) and not NEVER & set(each.opts)]
    for option in random.sample(options, min(len(options), random.choice((0, 0, 1, 1, 2, 3, 5)))):
        yield option.opts[0] if random.random() < 0.96 else _other_name(random, option.opts[0])
        if not option.is_flag and random.random() < 0.98:
            yield _value(random, option, folder)


def _other_name(random: Random, option: str) -> str:
    """An option as another tool calls it, or misspelt."""
    others = [f"--{other}" for other, own in ALIASES.items() if f"--{own}" == option]
    return random.choice([*others, option[:-1], f"{option}=", f"{option}s", option.replace("--", "-")])


def _argument(random: Random, argument: click.Argument, folder: Path) -> Iterator[str]:
    if argument.name == "command":
        yield from ["--", *random.choice(COMMANDS)]
        return
    for _ in range(random.choice((1, 1, 1, 1, 2, 0)) if argument.nargs == -1 else 1):
        yield _value(random, argument, folder)


def _value(random: Random, parameter: click.Parameter, folder: Path) -> str:
    """A value for a parameter: one of those that are right, and in one of three cases a change of it."""
    kind, name = parameter.type, parameter.type.name
    known = VALUES.get(name) or VALUES.get(parameter.metavar or "")
    if isinstance(kind, click.Choice):
        known = [*map(str, kind.choices), "nonsense"]
    elif isinstance(kind, click.Path):
        known = [str(file) for file in sorted(folder.iterdir())] + [str(folder / "new"), str(folder), "/no/such/x"]
        return random.choice(known)  # a changed name could be that of a file of the user
    elif isinstance(kind, click.IntRange):
        known = ["1", "2", "0", "-1", "65535", "7", str(2**64)]
    elif known is None:
        known = {
            "sources": ADDRESSES,
            "names": ["theory", "--list", "nonsense"],
            "what": TEXTS,
            "netns": ["0", "1", "999999999", "nonsense", "../x", "/proc/self/ns/net"],
        }.get(parameter.name or "", random.choice((ENDPOINTS, ADDRESSES, MODES)))
        if parameter.name in ("destinations", "where", "to", "destination", "listen", "through"):
            known = ENDPOINTS
    value = random.choice(known)
    if random.random() < 0.33 and not value.startswith("unix:"):  # a changed path could be one where `serve` may write
        value = mutations.text(random, value)
    return "7" if name == "N" and _is_dangerous(value) else value


def _is_dangerous(count: str) -> bool:
    """Whether this many connections would be opened, and be too many."""
    try:
        return MOST < parse_count(re.sub(r"^@", "", count)) < LEAST_HUGE
    except UsageError:
        return False
