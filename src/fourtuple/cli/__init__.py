"""Arguments → verb → face → exit code: with the faces the only place that prints; commands import late."""

import errno
from typing import Any

import click

from fourtuple import __version__
from fourtuple.cli.census import census
from fourtuple.cli.check import check
from fourtuple.cli.common import complain
from fourtuple.cli.compare import compare
from fourtuple.cli.export import export
from fourtuple.cli.hold import hold
from fourtuple.cli.lab import lab
from fourtuple.cli.limits import limits
from fourtuple.cli.plan import plan
from fourtuple.cli.prove import prove
from fourtuple.cli.report import report
from fourtuple.cli.runs import runs
from fourtuple.cli.serve import serve
from fourtuple.cli.undo import undo
from fourtuple.cli.why import why
from fourtuple.core.errors import EXIT_INTERRUPTED, EXIT_SHORT, FourtupleError, ShortfallError


class Commands(click.Group):
    """Errors of ours become their lines and their exit code; so does a limit of open files, wherever it is met."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FourtupleError as error:
            complain(error)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            limit = "the process (RLIMIT_NOFILE)" if error.errno == errno.EMFILE else "the host (fs.file-max)"
            complain(ShortfallError("this command", f"open files of {limit}: {error}", "Raise it, see ulimit -n."))
            ctx.exit(EXIT_SHORT)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fourtuple", message="%(prog)s %(version)s")
def cli() -> None:
    """TCP connections past every limit that is not real.

    A connection is a 4-tuple: source address and port, destination address and port. 65,535 limits nothing.
    """


for command in (
    prove,
    hold,
    serve,
    limits,
    plan,
    undo,
    why,
    census,
    export,
    runs,
    compare,
    report,
    check,
    lab,
):
    cli.add_command(command)
