"""`lab`: run a command in a private network namespace."""

import sys

import click

from fourtuple.cli.common import COUNT
from fourtuple.cli.values import CommandLine, Whole
from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import parse_ports
from fourtuple.faces.printer import tell


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--ports",
    metavar="LOW-HIGH",
    default="1024-65535",
    show_default=True,
    help="Port range from which the kernel chooses source ports.",
)
@click.option(
    "--hash-table",
    "hash_entries",
    type=COUNT,
    help="Entries of the lab's own TCP hash table.  [default: as many as sockets fit in memory]",
)
@click.option(
    "--hosts",
    type=Whole(1, 2),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of hosts; two are joined by a virtual cable.",
)
@click.option("--unconfined", is_flag=True, help="Permit changes to settings of the whole host (fs.*, kernel.*, vm.*).")
@click.option("--quiet", is_flag=True, help="Do not describe the lab.")
@click.argument("command", nargs=-1, required=True, type=CommandLine(), metavar="-- COMMAND...")
def lab(
    ports: str, hash_entries: int | None, hosts: int, unconfined: bool, quiet: bool, command: tuple[str, ...]
) -> None:
    """Run COMMAND in a private network namespace, which is removed on exit; returns COMMAND's exit code.

    When COMMAND ends, or this command does, every process in the lab is ended.

    \b
    fourtuple lab -- sh                  a shell to experiment in; nothing in it reaches the host
    fourtuple lab --ports 40000-40099 -- ./my-tests
    fourtuple lab --hosts 2 -- sh        this shell is host1, 10.77.0.1
      $ host2 fourtuple serve 10.77.0.2:8000 &
    """
    from fourtuple.faces.text import lab as face
    from fourtuple.verbs.lab import lab as verb
    from fourtuple.verbs.lab import run_in

    if "-" not in ports:
        raise UsageError(f"--ports {ports}", "it is not LOW-HIGH", "For example, --ports 32768-60999.")
    range_ = parse_ports(ports, f"--ports {ports}")
    with verb(ports=range_, hash_entries=hash_entries, hosts=hosts, confined=not unconfined) as (setup, place):
        if not quiet:
            tell(*face.lab_lines(setup.ports, setup.hash_entries, setup.hosts, setup.why_shared), to=sys.stderr)
        code = run_in(place, command)
    sys.exit(code)
