"""What ``rtpverify inspect`` does with its options: measure once, then write each output asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.commands.audio_source import open_source
from rtpverify.commands.inspect.measure import DEFAULT_VIEWS, Inspection, InspectRequest, View, measure
from rtpverify.commands.output import refuse_clashes, refuse_overwriting, replacing, write_text
from rtpverify.errors import RequestError
from rtpverify.report.printable import encodable, printable

if TYPE_CHECKING:
    from rtpverify.rtp.payload import Encoding

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class InspectOutputs:
    """Where results go; None: nowhere, ``-``: standard output."""

    json: str | None = None
    html: str | None = None
    png: str | None = None
    npz: str | None = None
    csv: str | None = None

    @property
    def keeps_data(self) -> bool:
        """Whether anything is wanted at full resolution."""
        return self.npz is not None or self.csv is not None

    @property
    def has_pictures(self) -> bool:
        """Whether anything is to be written."""
        return self.html is not None or self.png is not None

    def files(self, views: tuple[View, ...]) -> list[tuple[str, Path]]:
        """Return every file that is to be written, each with the option that asks for it.

        Parameters
        ----------
        views
            The views that are wanted.

        Returns
        -------
        list[tuple[str, Path]]
            Option and path of each.
        """
        from rtpverify.commands.inspect.data import csv_paths

        found = [
            (f"--{name}", Path(place))
            for name, place in (("json", self.json), ("html", self.html), ("png", self.png), ("npz", self.npz))
            if place is not None and place != STANDARD_OUTPUT
        ]
        if self.csv is not None:
            found += [("--csv", place) for place in csv_paths(Path(self.csv), views).values()]
        return found


def inspect(
    source: str,
    outputs: InspectOutputs,
    request: InspectRequest,
    *,
    show: Sequence[View] = (),
    force: bool = False,
    encoding: Encoding | None = None,
    sdp: Path | None = None,
    streams: Sequence[str] = (),
    on_listening: Callable[[Sequence[object]], None] | None = None,
) -> Inspection:
    """Look at a source, write what is asked for and print the summary.

    Parameters
    ----------
    source
        As ``rtpverify check`` takes it.
    outputs
        Where it is written.
    request
        Its ``views`` and ``keeps_data`` follow from the outputs and ``show``.
    show
        The views wanted; none: the usual ones where there is an output for them.
    force
        Write over files that are there.
    encoding, sdp, streams
        As :func:`rtpverify.commands.check.check` takes them.
    on_listening
        Called once a live source is open.

    Returns
    -------
    Inspection
        Figures and views of each channel.

    Raises
    ------
    RequestError
        Where the request or source is unusable, or a file exists already.
    """
    from dataclasses import replace

    wants_views = outputs.keeps_data or outputs.has_pictures
    views = tuple(dict.fromkeys(show)) or DEFAULT_VIEWS if wants_views else ()
    if show and not wants_views:
        raise RequestError("--show: views go to --png, --html, --npz or --csv; none is given")
    if request.keeps_phase and (outputs.npz is None or View.SPECTROGRAM not in views):
        raise RequestError("--phase: the phase of the spectrogram goes to --npz")
    request = replace(request, views=views, keeps_data=outputs.keeps_data)
    files = outputs.files(views)
    refuse_clashes(files)
    for option, path in files:
        refuse_overwriting(option, path, force=force)
    if outputs.png is not None:
        from rtpverify.commands.inspect import png

        png.require()
    live_seconds = request.length_seconds
    audio = open_source(
        source, encoding=encoding, sdp=sdp, streams=streams, duration_seconds=live_seconds, on_listening=on_listening
    )
    found = measure(audio, source, request)
    _write(found, outputs)
    return found


def _write(found: Inspection, outputs: InspectOutputs) -> None:
    """Write what is asked for; the summary goes to standard output where that is free, or else to standard error."""
    from rtpverify.commands.inspect import data, text

    if place := outputs.json:
        _put("--json", place, data.render_json(found))
    if place := outputs.html:
        from rtpverify.commands.inspect import html

        _put("--html", place, html.render(found))
    if place := outputs.png:
        from rtpverify.commands.inspect import png

        with replacing("--png", Path(place)) as file:
            file.write_bytes(png.render(found))
    if place := outputs.npz:
        with replacing("--npz", Path(place)) as file:
            data.write_npz(file, found)
    if outputs.csv is not None:
        for view, path in data.csv_paths(Path(outputs.csv), found.request.views).items():
            with replacing("--csv", path) as file:
                data.write_csv(file, view, found)
    out = sys.stderr if STANDARD_OUTPUT in (outputs.json, outputs.html) else sys.stdout
    for line in text.lines(found):
        print(printable(line), file=out)


def _put(option: str, place: str, content: str) -> None:
    if place == STANDARD_OUTPUT:
        print(encodable(content), end="", flush=True)
    else:
        write_text(option, Path(place), content)
