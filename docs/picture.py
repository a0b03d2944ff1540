"""Draw what a command prints in a colour terminal as an SVG: ``python docs/picture.py OUT.svg COMMAND...``."""

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 118


def main() -> None:
    """Run the command and write the picture, without rich's link to a font on the web."""
    out, *command = sys.argv[1:]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False).stdout
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(printed))
        svg = console.export_svg(title=" ".join(command), font_aspect_ratio=0.61)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    Path(out).write_text(svg.replace("Fira Code", "ui-monospace, DejaVu Sans Mono"), encoding="utf-8")


if __name__ == "__main__":
    main()
