"""``python -m rtpverify``."""

from rtpverify.cli import main

main(prog_name="rtpverify")
