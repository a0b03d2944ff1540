"""Run the command line, and write to a file what is imported from when it begins to receive: to the end of ``serve``,
and of ``check`` until it has received all.

Usage: python audited.py FILE ARGUMENT...; the file is there, and empty, from that moment on.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

is_ready = False
imported: dict[str, str] = {}


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note an import, and where it was asked for."""
    if event == "import" and is_ready and (name := str(arguments[0])) not in imported:
        frames = [frame for frame in traceback.extract_stack() if "importlib" not in frame.filename]
        imported[name] = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[-2:-6:-1])


def main() -> None:
    """Watch imports while packets are received."""
    file = Path(sys.argv.pop(1))
    sys.addaudithook(watch)
    from rtpverify.__main__ import main as command
    from rtpverify.live import loop

    original = loop.run_live

    async def run_live(*arguments: Any, **options: Any) -> Any:
        global is_ready  # noqa: PLW0603
        is_ready = True
        file.touch()
        received = await original(*arguments, **options)
        is_ready = "serve" in sys.argv
        return received

    loop.run_live = run_live
    try:
        command()
    finally:
        file.write_text("".join(f"{name}: {place}\n" for name, place in imported.items()))


if __name__ == "__main__":
    main()
