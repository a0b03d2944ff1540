"""The command line, run in this process."""

from click.testing import CliRunner

from rtpverify.cli import app as cli


def run(*arguments):
    """Run it with these arguments; what nobody expected is raised."""
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments], catch_exceptions=False)


def refused(*arguments):
    """Return the one line with which a request is refused."""
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    [line] = outcome.stderr.splitlines()
    return line
