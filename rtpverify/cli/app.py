"""The command line: one module per command, which reads options and calls one function of :mod:`rtpverify.commands`.

Exit statuses: 0 verified and clean, 1 faults found, 2 the request or its input is unusable (one line on standard error
says what and where), 3 nothing to verify arrived. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from rtpverify.cli.batch import batch
from rtpverify.cli.check import check
from rtpverify.cli.compare import compare
from rtpverify.cli.demo import demo
from rtpverify.cli.discover import discover
from rtpverify.cli.events import events
from rtpverify.cli.example_config import example_config
from rtpverify.cli.fleet import fleet
from rtpverify.cli.inspect import inspect
from rtpverify.cli.listen import listen
from rtpverify.cli.options import PROGRAM, name_environment_variables
from rtpverify.cli.selftest import selftest
from rtpverify.cli.send import send
from rtpverify.cli.serve import serve
from rtpverify.cli.tone import tone
from rtpverify.commands.ending import exit_status
from rtpverify.live import defect_files
from rtpverify.version import __version__


class _Group(click.Group):
    """Ends with one of the exit statuses that are documented, whatever happens."""

    def main(self, args: Sequence[str] | None = None, *_positional: Any, **_options: Any) -> NoReturn:
        """Run a command, and leave Python with its exit status."""
        sys.exit(exit_status(lambda: self.run(sys.argv[1:] if args is None else args)))

    def run(self, arguments: Sequence[str]) -> int:
        """Run a command; return its exit status.

        Raises
        ------
        RequestError
            Where the request or its input is unusable.
        """
        self._main_shell_completion({}, PROGRAM)
        try:
            with self.make_context(PROGRAM, list(arguments)) as context:
                self.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            shown = io.StringIO()
            error.show(shown)
            defect_files.say(shown.getvalue().rstrip())
            return error.exit_code
        return 0


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="rtpverify %(version)s")
def main() -> None:
    """Verify audio over RTP: compare every sample with what was sent, and report when, where and why it differs.

    Exit status of check and compare: 0 verified and clean, 1 faults found, 2 the request or its input is unusable, 3
    nothing to verify arrived or no verdict was possible. All commands: 70 an internal error in rtpverify.
    """


for _command in (
    batch,
    check,
    compare,
    demo,
    discover,
    events,
    example_config,
    fleet,
    inspect,
    listen,
    selftest,
    send,
    serve,
    tone,
):
    main.add_command(_command)
    name_environment_variables(_command)
