"""Speed and memory of ``rtpverify check`` on a capture, next to tshark's RTP statistics (``make bench-capture``)."""

import argparse
import tempfile
from pathlib import Path

from benchmarks.material import FREQUENCY_HZ, PORT, write_capture
from benchmarks.measuring import OURS, Command, circumstances, measure, ours, show


def commands(folder: Path, seconds: int) -> list[Command]:
    """Write the capture, and return what is run on it."""
    path = str(write_capture(folder / "stereo.pcap", seconds))
    streams = ["tshark", "-q", "-z", "rtp,streams", "-r", path, "-d", f"udp.port=={PORT},rtp"]
    found = []
    for name, reference, wanted in (("with a tone", f"tone:{FREQUENCY_HZ}", 4.0), ("transport only", "none", 8.0)):
        work = f"stereo L24 at 1 ms, {seconds} s, {name}"
        check = ours("check", path, "--encoding", "L24/48000/2", "--reference", reference)
        found += [Command(work, OURS, check), Command(work, "tshark rtp,streams", streams, wanted)]
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=900, help="length of the capture (900)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is run (5)")
    parser.add_argument("--json", type=Path, help="write the figures to a file, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(commands(Path(folder), options.seconds), options.rounds)
    show(rows, circumstances(), options.json)


if __name__ == "__main__":
    main()
