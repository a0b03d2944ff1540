"""The command ``rtpverify``, also as ``python -m rtpverify``."""

import os
import sys

from rtpverify.commands.ending import end_at_termination, exit_status, open_standard_streams
from rtpverify.live.process_tuning import collect_seldom


def main() -> None:
    """Run the command line, with products of matrices in one thread.

    They are small here: on a busy machine, a thread that waits for its share of one takes several times what it saves.
    Numpy reads this when it is loaded; a value that the caller has set stays.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    open_standard_streams()
    end_at_termination()
    collect_seldom()
    sys.exit(exit_status(_command))


def _command() -> int:
    """Load the command line, which may be interrupted too, and run it."""
    from rtpverify.cli.app import main as command

    return command.run(sys.argv[1:])


if __name__ == "__main__":
    main()
