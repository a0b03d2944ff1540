"""How time and memory of ``rtpverify check`` grow, one axis at a time from a common base. Run by ``make bench-scale``.

Prints for each axis what each size took and the exponent from one to the next (1: in proportion), names those where it
is past :data:`ABRUPT`, and draws both against size on logarithmic scales where matplotlib is installed.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.material import FREQUENCY_HZ, write_audio, write_capture
from benchmarks.measuring import circumstances, ours, run

BASE_SECONDS, BASE_STREAMS, BASE_CHANNELS = 60, 1, 2
ABRUPT = 1.3
"""Exponent past which something grows faster than its input."""
Axis = tuple[str, list[float], Callable[[Path, float], list[str]]]


def _capture(folder: Path, **form: float) -> list[str]:
    seconds = int(form.pop("seconds", BASE_SECONDS))
    streams, channels = int(form.pop("streams", BASE_STREAMS)), int(form.pop("channels", BASE_CHANNELS))
    path = write_capture(folder / "scale.pcap", seconds, streams=streams, channels=channels, loss=form.pop("loss", 0.0))
    encoding = f"L24/48000/{channels}"
    return ours("check", str(path), "--encoding", encoding, "--reference", f"tone:{FREQUENCY_HZ}")


def _file(folder: Path, minutes: float) -> list[str]:
    path = write_audio(folder / "scale.wav", round(60 * minutes), BASE_CHANNELS, "PCM_24")
    return ours("check", str(path), "--reference", f"tone:{FREQUENCY_HZ}")


def axes(most: float) -> list[Axis]:
    """Return the axes: name, sizes, and what makes a command of a size; sizes up to ``most`` of the largest."""

    def up_to(*sizes: float) -> list[float]:
        return [size for size in sizes if size <= most * sizes[-1]]

    return [
        ("streams", up_to(1, 4, 16, 64, 256), lambda folder, size: _capture(folder, streams=size, seconds=10)),
        ("channels", up_to(1, 2, 8, 16), lambda folder, size: _capture(folder, channels=size)),
        ("minutes of audio", up_to(1, 10, 60, 600), _file),
        ("loss", [0.0, 0.01, 0.05, 0.2], lambda folder, size: _capture(folder, loss=size)),
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=0.25, help="part of the largest sizes that is run (0.25; 1: all)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each command is run (2)")
    parser.add_argument("--json", type=Path, help="write the figures to a file, too")
    parser.add_argument("--picture", type=Path, help="draw them into an SVG or PNG file (needs matplotlib)")
    options = parser.parse_args()
    known = circumstances()
    print(*(f"{name:10} {value}" for name, value in known.items()), sep="\n")
    found: dict[str, list[tuple[float, float, float]]] = {}
    for name, sizes, command in axes(options.most):
        points = found[name] = []
        print(f"\n{name:>18} {'CPU s':>8} {'MiB':>6} {'exponent':>8}")
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                words = command(Path(folder), size)
                used = [run(words) for _ in range(options.rounds)]
            points.append((size, min(seconds for seconds, _ in used), max(mib for _, mib in used)))
            exponent = _exponent(points)
            abrupt = "  abrupt" if exponent is not None and exponent > ABRUPT else ""
            shown = "" if exponent is None else f"{exponent:.2f}"
            print(f"{size:18g} {points[-1][1]:8.2f} {points[-1][2]:6.0f} {shown:>8}{abrupt}")
    if options.json is not None:
        options.json.write_text(json.dumps({"circumstances": known, "axes": found}, indent=2) + "\n")
    if options.picture is not None:
        _draw(found, options.picture)


def _exponent(points: list[tuple[float, float, float]]) -> float | None:
    """Return the exponent by which time grew between the last two sizes; None where it has no meaning."""
    if len(points) < 2 or points[-2][0] <= 0.0:
        return None
    (before, took_before, _), (size, took, _) = points[-2:]
    return math.log(took / took_before) / math.log(size / before)


def _draw(found: dict[str, list[tuple[float, float, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.6 * len(found)), layout="constrained")
    for row, (name, points) in enumerate(found.items()):
        for column, (index, unit) in enumerate(((1, "CPU s"), (2, "MiB")), start=1):
            axes = figure.add_subplot(len(found), 2, 2 * row + column)
            shown = [point for point in points if point[0] > 0.0]
            axes.loglog([point[0] for point in shown], [point[index] for point in shown], marker="o")
            axes.set(xlabel=name, ylabel=unit)
            axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
