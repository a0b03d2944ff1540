"""The command line. Thin: it reads options, calls one function per command, writes reports and sets the exit status.

Exit statuses: 0 verified and clean, 1 faults found, 2 the request or its input is unusable (one line on standard error
says what and where), 3 nothing to verify arrived. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rtpverify.cli.limits_file import read_limits
from rtpverify.commands.ending import exit_status
from rtpverify.commands.output import write_text
from rtpverify.errors import RequestError
from rtpverify.events import Cause, Kind
from rtpverify.limits import PROFILES, TRANSPORT_LIMITS, Limits, with_values
from rtpverify.live import defect_files
from rtpverify.version import __version__

if TYPE_CHECKING:
    from rtpverify.result import Request, Result
    from rtpverify.sources.live.endpoint import Endpoint

PROGRAM = "rtpverify"
LIMIT_NAMES = tuple(item.name for item in fields(Limits))

_LIMIT_HELP = {
    "max_frequency_error_ppm": "Frequency off the reference, or wandering.",
    "max_thd_n_db": "Residual relative to the fundamental; auto is 6 dB above the encoding's quantisation limit.",
    "max_level_change_db": "Level step or drift.",
    "max_gain_db": "Level against a reference recording.",
    "max_dc_offset": "As a fraction of full scale.",
    "word_length_is_fault": "Low bits that are always empty are a fault, not only reported.",
    "max_stall_seconds": "Longest time without a packet; never below ten packet times.",
    "reorder_window_seconds": "How long a missing packet may still come; never below three packet times.",
    "tsdf_window_seconds": "Window of the time-stamped delay factor (EBU Tech 3337).",
    "link_offset_seconds": "From sampling to presentation; then the lead of packets is measured (AES67, ST 2110).",
    "min_presentation_lead_seconds": "How long before presentation a packet must have come.",
    "max_jitter_seconds": "Interarrival jitter of RFC 3550.",
    "max_duplicated": "Packets that came more than once.",
    "max_reordered": "Packets that came after a later one, within the reorder window.",
    "max_late": "Packets that came after the reorder window.",
    "max_packets_left_out": "Packets that were not taken into the stream.",
    "max_timestamp_error_seconds": "How far RTP timestamps may deviate from the frames that the packets hold.",
}

_DURATION = click.FloatRange(min=0, min_open=True)


def _whole(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Read a whole number, decimal or, after 0x, hexadecimal."""
    try:
        return None if value is None else int(value, 0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a whole number", param=parameter) from None


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
            error.show()
            return error.exit_code
        return 0


class _CheckCommand(click.Command):
    """Lists the limits in a section of their own, and keeps the command line for the reports."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = shlex.join([PROGRAM, ctx.info_name or "", *args])
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Limits (over --limits, over --profile)": []}
        general, limits = sections.values()
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                (limits if parameter.name in LIMIT_NAMES else general).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="rtpverify %(version)s")
def main() -> None:
    """Verify audio that travels as RTP: is every sample what was sent, and if not, when, where, what and why.

    Exit status of check and compare: 0 verified and clean, 1 faults found, 2 the request or its input is unusable, 3
    nothing to verify arrived or it could not be judged. Of every command: 70 a defect of rtpverify itself.
    """


def _limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option for each field of Limits."""
    for item in reversed(fields(Limits)):
        name = item.name.replace("_", "-")
        shown = {profile: _shown(item.name, getattr(limits, item.name)) for profile, limits in PROFILES.items()}
        values = (
            next(iter(shown.values())) if len(set(shown.values())) == 1 else ", ".join(map(" ".join, shown.items()))
        )
        text = f"{_LIMIT_HELP[item.name]}  [{values}]"
        if item.type == "bool":
            option = click.option(f"--{name}/--no-{name}", item.name, default=None, help=text)
        else:
            kind = click.INT if "int" in str(item.type) else click.FLOAT
            option = click.option(f"--{name}", item.name, type=kind, metavar="NUMBER", help=text)
        command = option(command)
    return command


def _shown(name: str, value: float | bool | None) -> str:
    """Write the default of a limit."""
    if value is None:
        return "auto" if name == "max_thd_n_db" else "not judged"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:g}"


def _report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for name in ("html", "junit", "json"):
        kind = click.Path(dir_okay=False, writable=True, allow_dash=True)
        option = click.option(
            f"--{name}",
            f"{name}_to",
            metavar="FILE",
            type=kind,
            callback=_outlet,
            help=f"Write the result as {_FORMS[name]}; - is standard output.",
        )
        command = option(command)
    return command


def _judging_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add profile, limits file and one option for each limit."""
    command = _limit_options(command)
    command = click.option(
        "--limits",
        "limits_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Limits of one's own (TOML), over the profile's.",
    )(command)
    return click.option(
        "--profile",
        type=click.Choice(list(PROFILES)),
        default="digital",
        show_default=True,
        help="Default limits: digital holds a bit-transparent path, analog one that passes converters.",
    )(command)


def _limits_of(options: dict[str, Any]) -> Limits:
    """Return the limits that profile, file and options make."""
    limits = PROFILES[options["profile"]]
    if options["limits_file"]:
        limits = read_limits(options["limits_file"], limits)
    given = {name: options[name] for name in LIMIT_NAMES if options[name] is not None}
    return with_values(limits, given, "options")


def _refuse_transport_limits(source: str, options: dict[str, Any]) -> None:
    """Refuse options that limit packets where there are none; in a file of limits they may stay."""
    for name in LIMIT_NAMES:
        if name in TRANSPORT_LIMITS and options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise RequestError(f"{source}: {option} limits packets, and an audio file has none")


def _request(ctx: click.Context, options: dict[str, Any], reference: str, limits: Limits) -> Request:
    """Return what is asked for, for the reports."""
    from rtpverify.report.request import request_now

    encoding = options.get("encoding")
    return request_now(ctx.obj, reference=reference, encoding=encoding, profile=options["profile"], limits=limits)


def _outlets_of(options: dict[str, Any]) -> dict[str, str]:
    """Return where each form of the result goes."""
    outlets = {name: options[f"{name}_to"] for name in _FORMS if options[f"{name}_to"]}
    if list(outlets.values()).count("-") > 1:
        raise click.UsageError("only one of --json, --junit and --html can be standard output")
    return outlets


_FORMS = {"json": "JSON", "junit": "JUnit XML", "html": "an HTML page"}


def _outlet(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse a file whose folder is missing before the check begins, not after it."""
    if value not in (None, "-") and not Path(value).absolute().parent.is_dir():
        raise click.BadParameter(f"{value}: no such folder", param=parameter)
    return value


@main.command(cls=_CheckCommand, short_help="Verify a capture, an audio file or a live stream once.")
@click.argument("source")
@click.option(
    "--reference",
    default="tone",
    show_default=True,
    metavar="REFERENCE",
    help="tone:997 is a sine of that frequency on every channel, tone:997,1499 one per channel; "
    "tone finds the frequency; FILE is a recording that plays over and over; none looks at transport only.",
)
@click.option(
    "--encoding",
    metavar="NAME/RATE[/CHANNELS]",
    help="Encoding of payload types that no session description or static assignment tells, such as L24/48000/2.",
)
@click.option(
    "--sdp",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Session description that goes with a capture or rtp:// address.",
)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="SSRC|ADDRESS[:PORT]",
    help="Only the streams with this SSRC (0x...), sender or destination; may be given again.",
)
@click.option(
    "--redundant",
    is_flag=True,
    help="Captures: packets of one SSRC over several flows are copies of one stream (ST 2022-7).",
)
@click.option(
    "--duration",
    type=_DURATION,
    metavar="SECONDS",
    help="Verify no more than this: of audio, of a capture from its first RTP packet on; live sources: stop after it. "
    "Without it a live check goes on until Ctrl-C.",
)
@click.option(
    "--until-end",
    is_flag=True,
    help="Live sources: stop when the stream has ended (RTCP BYE, or no packet for 1 s); then its end is no fault.",
)
@click.option(
    "--backend",
    type=click.Choice(["recvmmsg", "asyncio-dgram"]),
    help="How live packets are received.  [recvmmsg on Linux, asyncio-dgram elsewhere]",
)
@click.option(
    "--rtcp",
    is_flag=True,
    help="Live sources: receive RTCP on the next port too, or on the one that the session description names.",
)
@click.option(
    "--receiver-reports",
    is_flag=True,
    help="Live sources: send receiver reports to the senders; implies --rtcp.",
)
@click.option(
    "--host-clock",
    type=click.Choice(["utc", "tai"]),
    help="What arrival times count; with --link-offset-seconds.  [utc]",
)
@_report_options
@_judging_options
@click.pass_context
def check(ctx: click.Context, /, source: str, **options: Any) -> None:
    """Verify SOURCE once, print a summary and exit with what was found.

    SOURCE is a capture (pcap, pcapng), an audio file, a session description, or rtp://[SENDER@]ADDRESS:PORT,
    unicast or multicast; SENDER makes it source-specific.
    """
    outlets = _outlets_of(options)
    from rtpverify.commands.check import check as run_check
    from rtpverify.commands.check import has_packets
    from rtpverify.rtp.payload import parse_rtpmap
    from rtpverify.sources.audio.reference_text import parse_reference

    if not has_packets(source):
        _refuse_transport_limits(source, options)
    limits = _limits_of(options)
    request = _request(ctx, options, options["reference"], limits)
    result = run_check(
        source,
        reference=parse_reference(options["reference"]),
        limits=limits,
        encoding=parse_rtpmap(options["encoding"]) if options["encoding"] else None,
        sdp=options["sdp"],
        duration_seconds=options["duration"],
        backend=options["backend"],
        on_listening=_tell_listening,
        streams=options["streams"],
        redundant=options["redundant"],
        host_clock=options["host_clock"],
        rtcp=options["rtcp"],
        receiver_reports=options["receiver_reports"],
        until_end=options["until_end"],
    )
    result.request = request
    _write(result, outlets)
    ctx.exit(result.exit_status)


@main.command(cls=_CheckCommand, short_help="Compare two recordings: the same, or where and how they differ.")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("received", type=click.Path(path_type=Path))
@_report_options
@_judging_options
@click.pass_context
def compare(ctx: click.Context, /, reference: Path, received: Path, **options: Any) -> None:
    """Compare the recording RECEIVED with REFERENCE, which it should be, and exit with what was found.

    Both are audio files of any length. RECEIVED is aligned to a fraction of a frame, with its gain, polarity and clock,
    and held against REFERENCE frame by frame.
    """
    outlets = _outlets_of(options)
    from rtpverify.commands.compare import compare as run_compare
    from rtpverify.live.process_tuning import keep_freed_memory

    _refuse_transport_limits(str(received), options)
    keep_freed_memory()
    limits = _limits_of(options)
    request = _request(ctx, options, str(reference), limits)
    result = run_compare(reference, received, limits=limits)
    result.request = request
    _write(result, outlets)
    ctx.exit(result.exit_status)


@main.command(short_help="Verify many streams until stopped, with metrics.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--check-config", is_flag=True, help="Tell every mistake in CONFIG and exit: 0 where there is none, else 2."
)
@click.pass_context
def serve(ctx: click.Context, config: Path, check_config: bool) -> None:
    """Verify every stream of CONFIG (TOML) until SIGTERM, log their state and serve metrics.

    The streams, the address of /metrics and the limits stand in CONFIG; configs/bench.toml is a commented one.
    """
    from rtpverify.daemon import process as life

    if check_config:
        click.echo(life.check(config))
    else:
        ctx.exit(life.serve(config))


def _signal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `send` and `tone` have in common."""
    for option in reversed(
        (
            click.option(
                "--frequency",
                default="1283",
                show_default=True,
                metavar="HZ[,HZ...]",
                help="Of the tone: one for all channels, or one per channel.",
            ),
            click.option("--level-dbfs", type=float, default=-20.0, show_default=True, help="A full-scale sine is 0."),
            click.option(
                "--noise-dbfs",
                type=click.FloatRange(max=0),
                metavar="NUMBER",
                help="RMS level of white noise under it.",
            ),
            click.option("--dither", type=click.Choice(["none", "rpdf", "tpdf"]), default="none", show_default=True),
            click.option("--seed", type=click.IntRange(min=0), default=0, help="Of noise and dither."),
            click.option(
                "--fault",
                "faults",
                multiple=True,
                metavar="KIND:NAME=VALUE,...",
                help="A fault to inject, such as slip:at=1.5,frames=48 or loss:at=2,packets=3; may be given again. "
                "An unknown one tells which there are.",
            ),
        )
    ):
        command = option(command)
    return command


@main.command(short_help="Send a test tone or a recording, with faults on request.")
@click.argument("destination", required=False)
@_signal_options
@click.option("--file", "file", metavar="FILE", type=click.Path(path_type=Path), help="Send a recording, no tone.")
@click.option("--loop", is_flag=True, help="Send the recording over and over.")
@click.option(
    "--last-packet",
    type=click.Choice(["short", "drop"]),
    help="Of a recording whose last frames fill no packet: send a shorter one, or leave them out.  [short]",
)
@click.option(
    "--encoding",
    metavar="NAME/RATE[/CHANNELS]",
    help="[L24/48000/2; of a recording, what holds all of it]",
)
@click.option("--payload-type", type=click.IntRange(0, 127), default=97, show_default=True)
@click.option("--packet-time", type=float, default=0.001, show_default=True, metavar="SECONDS")
@click.option("--ssrc", callback=_whole, metavar="NUMBER", help="0x... is hexadecimal.  [random]")
@click.option("--ttl", type=click.IntRange(0, 255), default=16, show_default=True, help="Of multicast packets.")
@click.option("--duration", type=_DURATION, metavar="SECONDS", help="Stop after; without it, Ctrl-C does.")
def send(destination: str | None, **options: Any) -> None:
    """Send a test tone or a recording as RTP, with faults on request.

    DESTINATION is rtp://[FROM@]ADDRESS:PORT, by default rtp://127.0.0.1:5004.
    """
    from rtpverify.commands.send import send as run_sender

    run_sender(destination, **options)


@main.command(short_help="Write the reference tone to a WAV file.")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@_signal_options
@click.option("--encoding", default="L24/48000/2", show_default=True, metavar="NAME/RATE[/CHANNELS]")
@click.option("--duration", type=_DURATION, default=10.0, show_default=True, metavar="SECONDS")
def tone(out: Path, **options: Any) -> None:
    """Write the reference tone to the WAV file OUT, with faults on request."""
    from rtpverify.commands.send import tone as write_tone

    write_tone(out, **options)


def _rtp_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what tells of packets how they are decoded, for commands that look at one stream."""
    for option in (
        click.option(
            "--stream",
            "streams",
            multiple=True,
            metavar="SSRC|ADDRESS[:PORT]",
            help="The stream with this SSRC (0x...), sender or destination, where there are several.",
        ),
        click.option(
            "--sdp", metavar="FILE", type=click.Path(path_type=Path), help="Session description that goes with packets."
        ),
        click.option("--encoding", metavar="NAME/RATE[/CHANNELS]", help="Of packets, such as L24/48000/2."),
    ):
        command = option(command)
    return command


@main.command(short_help="Look at audio: levels, waveform, spectra; as pictures and as data.")
@click.argument("source")
@click.option("--at", multiple=True, type=float, metavar="SECONDS", help="The value there; may be given again.")
@click.option("--start", type=float, default=0.0, metavar="SECONDS", help="Look from there on.")
@click.option(
    "--duration", type=_DURATION, metavar="SECONDS", help="Look at no more than this; live sources: stop after it."
)
@click.option(
    "--show",
    multiple=True,
    type=click.Choice(["waveform", "histogram", "spectrogram", "constant-q", "mel", "mfcc"]),
    help="What pictures and data hold; may be given again.  [all but mel]",
)
@click.option("--fft", "fft_frames", type=int, default=2048, show_default=True, metavar="FRAMES", help="Window.")
@click.option(
    "--hop", "hop_frames", type=int, default=512, show_default=True, metavar="FRAMES", help="Between columns."
)
@click.option(
    "--lowest", "lowest_hz", type=float, default=32.703, show_default=True, metavar="HZ", help="Of the constant-Q bins."
)
@click.option("--bins-per-octave", type=int, default=24, show_default=True, metavar="NUMBER", help="Of the same.")
@click.option(
    "--phase", is_flag=True, help="Keep the spectrogram's phase in --npz: listen can then turn it back exactly."
)
@click.option("--png", metavar="FILE", help="A picture (needs the extra png).")
@click.option("--html", metavar="FILE", help="A page that needs nothing else; - is standard output.")
@click.option("--npz", metavar="FILE", help="Arrays for numpy.")
@click.option("--csv", metavar="FILE", help="Tables: FILE.csv becomes FILE-levels.csv, FILE-waveform.csv and so on.")
@click.option("--json", metavar="FILE", help="The figures; - is standard output.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@_rtp_options
def inspect(source: str, **options: Any) -> None:
    """Look at SOURCE: figures of each channel, and waveform, histogram and spectra as pictures and as data.

    SOURCE is an audio file, a capture, a session description or an address, as for check.
    """
    outlets = {name: options[name] for name in ("json", "html", "png", "npz", "csv")}
    if outlets["json"] == outlets["html"] == "-":
        raise click.UsageError("only one of --json and --html can be standard output")
    from rtpverify.commands.inspect.command import Outlets
    from rtpverify.commands.inspect.command import inspect as look
    from rtpverify.commands.inspect.measure import Request, View
    from rtpverify.rtp.payload import parse_rtpmap

    look(
        source,
        Outlets(**outlets),
        Request(
            at_seconds=options["at"],
            start_seconds=options["start"],
            length_seconds=options["duration"],
            fft_frames=options["fft_frames"],
            hop_frames=options["hop_frames"],
            lowest_hz=options["lowest_hz"],
            bins_per_octave=options["bins_per_octave"],
            keeps_phase=options["phase"],
        ),
        show=[View(name) for name in options["show"]],
        force=options["force"],
        encoding=parse_rtpmap(options["encoding"]) if options["encoding"] else None,
        sdp=options["sdp"],
        streams=options["streams"],
        on_listening=_tell_listening,
    )


def _band(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Read LOW:HIGH."""
    try:
        low, high = (float(edge) for edge in value.split(":")) if value is not None else (0.0, 0.0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not LOW:HIGH, such as 300:3400", param=parameter) from None
    return None if value is None else (low, high)


def _gain(_ctx: click.Context, parameter: click.Parameter, value: str) -> float | str:
    """Read decibels, or auto."""
    try:
        return value if value == "auto" else float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither auto nor a number of decibels", param=parameter) from None


@main.command(short_help="Make heard what is left when the reference is taken away.")
@click.argument("source")
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="WAV, 32-bit float.")
@click.option(
    "--reference",
    metavar="REFERENCE",
    help="What is taken away: tone:997, tone:997,1499, tone (found), FILE, none  [tone; none with --band, for spectra]",
)
@click.option("--band", metavar="LOW:HIGH", callback=_band, help="Keep only this band, in Hz.")
@click.option("--gain", default="0", callback=_gain, metavar="DB|auto", help="Louder by this; auto: peak at -1 dBFS.")
@click.option("--start", type=float, default=0.0, metavar="SECONDS", help="From there on.")
@click.option("--duration", type=_DURATION, metavar="SECONDS", help="No more than this; live sources: stop after it.")
@click.option(
    "--from",
    "form",
    type=click.Choice(["phase", "spectrogram", "mel", "mfcc"]),
    help="What of an NPZ file of inspect is turned back into sound.  [the most exact there is]",
)
@click.option("--iterations", type=click.IntRange(1), default=64, show_default=True, help="To find phases.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the phases that the search begins with.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@_rtp_options
def listen(source: str, out: Path, reference: str | None, **options: Any) -> None:
    """Write to a WAV file what is left of SOURCE when its reference is taken away, or a band, or the sound of spectra.

    SOURCE is an audio file, a capture, a session description or an address, as for check; or spectra (.npz) that
    inspect wrote.
    """
    from rtpverify.commands.listen.command import Wish
    from rtpverify.commands.listen.command import listen as hear
    from rtpverify.commands.listen.from_spectra import Form, is_npz
    from rtpverify.rtp.payload import parse_rtpmap
    from rtpverify.sources.audio.reference_text import parse_reference

    if reference is None:
        reference = "none" if options["band"] or is_npz(Path(source)) else "tone"
    lines = hear(
        source,
        out,
        Wish(
            reference=parse_reference(reference),
            band=options["band"],
            gain_db=options["gain"],
            start_seconds=options["start"],
            length_seconds=options["duration"],
            form=Form(options["form"]) if options["form"] else None,
            iterations=options["iterations"],
            seed=options["seed"],
        ),
        force=options["force"],
        encoding=parse_rtpmap(options["encoding"]) if options["encoding"] else None,
        sdp=options["sdp"],
        streams=options["streams"],
        on_listening=_tell_listening,
    )
    for line in lines:
        click.echo(line)


@main.command(short_help="See it work on loopback, nothing to prepare.")
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Send two streams over loopback, one with faults, and show what is found of them; takes under 20 s."""
    from rtpverify.commands.demo import demo as run_demo

    ctx.exit(run_demo())


@main.command(short_help="List the sessions that are announced (SAP).")
@click.option(
    "--duration", type=_DURATION, default=35.0, show_default=True, metavar="SECONDS", help="How long to listen."
)
@click.option("--interface", metavar="NAME|ADDRESS", help="Interface to listen on.  [as routed]")
@click.option(
    "--json",
    "json_to",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True),
    callback=_outlet,
    help="Write what is announced as JSON; - is standard output.",
)
@click.pass_context
def discover(ctx: click.Context, duration: float, interface: str | None, json_to: str | None) -> None:
    """Listen for session announcements (SAP, RFC 2974) and list them.

    Exit status: 0 sessions found, 2 the request is unusable, 3 nothing is announced.
    """
    from rtpverify.commands import discover as discovery

    directory = discovery.discover(duration, interface=interface)
    if json_to is not None:
        _write_file("--json", json_to, discovery.render_json(directory))
    if json_to != "-":
        for line in discovery.lines(directory) or ["nothing is announced"]:
            click.echo(line)
    ctx.exit(0 if directory.sessions else 3)


def _choice(kind: type[StrEnum]) -> click.Choice[str]:
    return click.Choice([str(item) for item in kind])


@main.command(short_help="Look events up in the history that the daemon keeps.")
@click.argument("store", required=False, type=click.Path(path_type=Path), metavar="[STORE|CONFIG]")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="With *, ? and [...]; may be given again.")
@click.option("--kind", "kinds", multiple=True, type=_choice(Kind), metavar="KIND", help="May be given again.")
@click.option("--cause", "causes", multiple=True, type=_choice(Cause), help="May be given again.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="The event of this id; may be given again.")
@click.option("--since", metavar="TIME", help="Not before: 2026-11-22T14:03:07Z, or how long ago: 90s, 2h, '1d 12h'.")
@click.option("--until", metavar="TIME", help="Before this time, written as for --since.")
@click.option("--faults", is_flag=True, help="Without what is within the limits.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="Only the latest so many; 0 lists all."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="jsonl is one event a line.",
)
@click.pass_context
def events(ctx: click.Context, /, store: Path | None, since: str | None, until: str | None, **options: Any) -> None:
    """List events of a history, in order of time.

    It is the file STORE, the one that the configuration CONFIG (.toml) keeps, or /var/lib/rtpverify/events.sqlite. The
    daemon may be writing to it.

    Exit status: 0 events found, 2 the request is unusable, 3 no such event.
    """
    from rtpverify.history import listing
    from rtpverify.history.query import Query, find
    from rtpverify.history.store import DEFAULT_PATH
    from rtpverify.history.time_text import parse_moment

    if store is not None and store.suffix == ".toml":
        from rtpverify.daemon.configuration import history_path_in

        store = history_path_in(store)
    now_ns = time.time_ns()
    query = Query(
        **{name: tuple(options[name]) for name in ("streams", "kinds", "causes", "ids")},
        since_ns=parse_moment(since, now_ns, "--since") if since else None,
        until_ns=parse_moment(until, now_ns, "--until") if until else None,
        faults_only=options["faults"],
        limit=options["limit"] or None,
    )
    found = find(store or DEFAULT_PATH, query)
    listing.write(found, options["form"], sys.stdout)
    ctx.exit(0 if found.events else 3)


def _tell_listening(endpoints: Sequence[Endpoint]) -> None:
    """Tell a person why nothing happens yet; a log or pipe is not told."""
    if sys.stderr.isatty():
        click.echo(f"listening on {', '.join(map(str, endpoints))}", err=True)


def _write(result: Result, outlets: dict[str, str]) -> None:
    """Write the reports asked for, and the summary where standard output is free or else to standard error."""
    from importlib import import_module

    from rtpverify.report import text

    for name, place in outlets.items():
        content = import_module(f"rtpverify.report.{name}").render(result)
        _write_file(f"--{name}", place, content)
    text.write(result, sys.stderr if "-" in outlets.values() else sys.stdout)
    defect_files.report_failures(result.failures)


def _write_file(option: str, place: str, content: str) -> None:
    """Write a report where an option says."""
    if place == "-":
        click.echo(content, nl=False)
    else:
        write_text(option, Path(place), content)
