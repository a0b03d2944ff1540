"""The command ``rtpverify``, also as ``python -m rtpverify``."""

import os

from rtpverify.memory import collect_seldom


def main() -> None:
    """Run the command line, with products of matrices in one thread.

    They are small here: on a busy machine, a thread that waits for its share of one takes several times what it saves.
    Numpy reads this when it is loaded; a value that the caller has set stands.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    collect_seldom()
    from rtpverify.cli import main as command

    command(prog_name="rtpverify")


if __name__ == "__main__":
    main()
