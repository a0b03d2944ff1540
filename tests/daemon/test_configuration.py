from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import get_origin

import pytest
from pydantic.fields import FieldInfo

from rtpverify.daemon.config.base import Listen
from rtpverify.daemon.configuration import Configuration, history_path_in, parse_config, read_config, tables_in
from rtpverify.errors import ConfigurationError
from rtpverify.reference import Tone
from rtpverify.rtp.payload import Encoding

PATH = Path("bench.toml")
STREAM = """
[[stream]]
name = "a"
source = "rtp://127.0.0.1:5004"
encoding = "L24/48000/2"
reference = "tone:997"
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, PATH)
    return str(caught.value).splitlines()


def test_the_configuration_of_the_repository_holds() -> None:
    configuration = read_config(Path(__file__).parents[2] / "configs" / "bench.toml")
    assert configuration.metrics.listen == Listen("127.0.0.1", 9464)
    (stream,) = configuration.stream
    assert stream.followed.spec.encoding == Encoding("L24", 48000, 2)
    assert stream.followed.spec.reference == Tone((1283.0,))


def test_a_stream_takes_what_its_table_says() -> None:
    configuration = parse_config(
        STREAM.replace("127.0.0.1", "192.0.2.7@239.1.2.3")
        + 'interface = "lo"\nprofile = "analog"\nlimits = {max_dc_offset = 0.5}',
        PATH,
    )
    stream = configuration.stream[0]
    spec = stream.followed.spec
    assert (spec.name, spec.destination, spec.sender) == ("a", "239.1.2.3:5004", "192.0.2.7")
    assert stream.followed.endpoints[0].interface == "lo"
    assert (spec.limits.max_dc_offset, spec.limits.max_level_change_db) == (0.5, 0.1)


def test_the_commented_defaults_of_the_file_are_the_defaults() -> None:
    text = (Path(__file__).parents[2] / "configs" / "bench.toml").read_text()
    shown = "\n".join(
        line.removeprefix("# ")
        if line.startswith("# ")
        and line[2] != " "
        and " = " in line
        and not any(word in line for word in ("interface", "sdp ="))
        else line
        for line in text.splitlines()
        if not any(
            name in line
            for name in ("max_thd_n_db", "link_offset", "max_jitter_seconds", "max_duplicated", "max_re", "max_late")
        )
    )
    assert "\ntick_seconds" in shown
    assert "\nmax_dc_offset" in shown
    explicit, default = parse_config(shown, PATH), parse_config(text, PATH)
    assert explicit.receive.model_copy(update={"backend": None}) == default.receive
    assert explicit.log == default.log
    assert explicit.stream[0].followed.spec == default.stream[0].followed.spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["bench.toml: stream: is missing, and so are [[folder]] and [announced]"]),
        ("stream = 3", ["bench.toml:1: stream = 3: is not a list of tables [[stream]]"]),
        ("stream = []", ["bench.toml:1: stream = []: holds no stream"]),
        ("a = \n", ["bench.toml:1: not TOML: Invalid value (at line 1, column 5)"]),
        (
            STREAM + "refrence = 'none'",
            [
                (
                    'bench.toml:7: stream[1].refrence = "none": is not known; known are '
                    "reference, profile, limits, interface, rtcp, down_after_seconds, missing_after_seconds, "
                    "name, source, encoding, sdp"
                )
            ],
        ),
        (STREAM.replace('name = "a"', ""), ["bench.toml:2: stream[1].name: is missing"]),
        (
            STREAM.replace('"a"', '"a b"'),
            [
                (
                    'bench.toml:3: stream[1].name = "a b": is not a name of 1 to 63 letters, digits, '
                    "'_', '-' and '.' that starts with a letter or digit"
                )
            ],
        ),
        (
            STREAM.replace("L24/48000/2", "L99/48000"),
            ["encoding 'L99' is unknown"],
        ),
        (STREAM.replace("L24/48000/2", "L24"), ['bench.toml:5: stream[1].encoding = "L24": is not NAME/RATE']),
        (STREAM.replace("tone:997", "tone:x"), ["bench.toml:6: stream[1].reference = \"tone:x\": 'x' is not a freq"]),
        (STREAM.replace("tone:997", "song.wav"), ['"song.wav": No such file']),
        (
            STREAM.replace("tone:997", "tone:24000"),
            ['bench.toml:6: stream[1].reference = "tone:24000": not below half'],
        ),
        (STREAM.replace("tone:997", "tone:1,2,3"), ["3 frequencies for a stream of 2 channel(s)"]),
        (
            STREAM.replace(":5004", ":70000"),
            ["bench.toml:4: stream[1].source = \"rtp://127.0.0.1:70000\": port '70000'"],
        ),
        (
            STREAM + 'interface = "capture://"',
            ["bench.toml:7: stream[1].interface = \"capture://\": '' is not the name of a network interface"],
        ),
        (
            STREAM + 'interface = "capture://eth1?ring_mb=0"',
            ["ring_mb '0' is not one of 1 to 16384"],
        ),
        (
            STREAM.replace("rtp://127.0.0.1:5004", "capture://eth1"),
            ['bench.toml:4: stream[1].source = "capture://eth1": names no stream: write it as interface'],
        ),
        (STREAM + "[stream.limits]\nmax_dc = 1", ["bench.toml:8: stream[1].limits.max_dc = 1: unknown limit 'max_dc'"]),
        (STREAM + "[stream.limits]\nmax_late = -1", ["bench.toml:8: stream[1].limits.max_late = -1: is negative"]),
        (STREAM + "profile = 'loud'", ["bench.toml:7: stream[1].profile = \"loud\": should be 'digital' or 'analog'"]),
        (
            STREAM + STREAM.replace(":5004", ":5006"),
            ['bench.toml:9: stream[2].name = "a": is the name of stream[1] al'],
        ),
        (
            STREAM + STREAM.replace('"a"', '"b"'),
            ['bench.toml:10: stream[2].source = "rtp://127.0.0.1:5004": takes pac'],
        ),
        ("[metrics]\nlisten = '9464'" + STREAM, ['bench.toml:2: metrics.listen = "9464": is not ADDRESS:PORT']),
        ("[metrics]\nlisten = '127.0.0.1:99999'" + STREAM, ["port from 0 to 65535"]),
        (
            "[receive]\nbackend = 'pcap'" + STREAM,
            ["bench.toml:2: receive.backend = \"pcap\": should be 'ring', 'recvmmsg' or"],
        ),
        ("[receive]\ntick_seconds = 0" + STREAM, ["bench.toml:2: receive.tick_seconds = 0: should be greater than"]),
        ("[log]\nformat = 3" + STREAM, ["bench.toml:2: log.format = 3: should be 'console' or 'json'"]),
        (
            "[logs]\nformat = 3" + STREAM,
            [f"bench.toml:1: logs: is not known; known are {', '.join(Configuration.model_fields)}"],
        ),
    ],
)
def test_one_mistake_is_one_line_with_place_and_value(text: str, expected: list[str]) -> None:
    told = mistakes(text)
    assert len(told) == len(expected)
    for line, part in zip(told, expected, strict=True):
        assert line.startswith("bench.toml")
        assert part in line


def test_more_streams_than_can_be_verified_are_a_mistake() -> None:
    text = "".join(STREAM.replace('"a"', f'"s{n}"').replace(":5004", f":{5004 + n}") for n in range(257))
    (told,) = mistakes(text)
    assert told == "bench.toml:1538: stream[257]: exceeds the limit of 256 streams at a time"


def test_every_mistake_is_told_at_once_in_the_order_of_the_file() -> None:
    told = mistakes(
        '[metrics]\nlisten = "nowhere"\n'
        + STREAM.replace("L24", "L99")
        + STREAM.replace("tone:997", "tone:-1")
        + "[stream.limits]\nmax_late = 'x'\nmax_what = 3\n"
    )
    assert [line.split(": ")[0] + ": " + line.split(": ")[1].split(" = ")[0] for line in told] == [
        "bench.toml:2: metrics.listen",
        "bench.toml:7: stream[1].encoding",
        "bench.toml:11: stream[2].name",
        "bench.toml:12: stream[2].source",
        "bench.toml:14: stream[2].reference",
        "bench.toml:16: stream[2].limits.max_late",
        "bench.toml:17: stream[2].limits.max_what",
    ]


SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=x
t=0 0
m=audio 5004 RTP/AVP 98
c=IN IP4 239.1.2.3/32
a=source-filter: incl IN IP4 239.1.2.3 192.0.2.7
a=rtpmap:98 L16/44100/2
"""
SECOND = "m=audio 5006 RTP/AVP 98\nc=IN IP4 239.1.2.4/32\na=rtpmap:98 L24/48000/8\n"
DESCRIBED = '[[stream]]\nname = "a"\nsdp = "a.sdp"\nreference = "tone:997"\n'


def test_a_session_description_tells_source_and_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.sdp").write_text(SDP)
    stream = parse_config(DESCRIBED, tmp_path / "bench.toml").stream[0]
    spec = stream.followed.spec
    assert (spec.destination, spec.sender) == ("239.1.2.3:5004", "192.0.2.7")
    assert stream.followed.endpoints[0].address == "239.1.2.3"
    assert spec.encoding_of(98) == Encoding("L16", 44100, 2)


def test_a_source_chooses_among_the_streams_of_a_description(tmp_path: Path) -> None:
    (tmp_path / "a.sdp").write_text(SDP + SECOND)
    text = DESCRIBED + 'source = "rtp://239.1.2.4:5006"'
    assert parse_config(text, tmp_path / "bench.toml").stream[0].followed.spec.encoding_of(98) == Encoding(
        "L24", 48000, 8
    )


@pytest.mark.parametrize(
    ("description", "text", "expected"),
    [
        (None, DESCRIBED, ':3: stream[1].sdp = "a.sdp": '),
        ("v=0\r\ns=x", DESCRIBED, ':3: stream[1].sdp = "a.sdp": '),
        (SDP + SECOND, DESCRIBED, ":1: stream[1].source: is missing, and "),
        (SDP, DESCRIBED.replace("997", "22050"), ':4: stream[1].reference = "tone:22050": not below half'),
        (SDP, DESCRIBED + STREAM.replace("127.0.0.1", "239.1.2.3").replace('"a"', '"b"'), ":8: stream[2].source = "),
        (SDP, DESCRIBED.replace('sdp = "a.sdp"', ""), ":1: stream[1].source: is missing"),
    ],
)
def test_a_description_that_does_not_fit_is_named(
    tmp_path: Path, description: str | None, text: str, expected: str
) -> None:
    if description is not None:
        (tmp_path / "a.sdp").write_text(description)
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, tmp_path / "bench.toml")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{tmp_path / 'bench.toml'}{expected}")


def test_two_streams_share_a_port_when_they_differ_in_the_sender() -> None:
    first = STREAM.replace("//", "//192.0.2.1@").replace("127.0.0.1", "239.1.2.3")
    second = first.replace("192.0.2.1", "192.0.2.2").replace('"a"', '"b"')
    assert len(parse_config(first + second, PATH).stream) == 2


@pytest.mark.parametrize(
    ("content", "names"), [(None, "No such file"), (b"\xff\xfe", "not UTF-8"), (b"[[stream]\n", ":1: not TOML")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, names: str) -> None:
    path = tmp_path / "bench.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert names in str(caught.value)


DOCUMENT = Path(__file__).parents[2] / "docs" / "daemon.md"


def test_nothing_is_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError, match=f"^{pipe}: is not a regular file$"):
        read_config(pipe)
    for place in (pipe, Path("/dev/zero")):
        stream = f'[[stream]]\nname = "a"\nreference = "none"\nsdp = "{place}"\n'
        text = (
            f'[metrics]\ntoken_file = "{place}"\n[[webhook]]\nurl = "https://a.b/"\nsecret_file = "{place}"\n{stream}'
        )
        told = mistakes(text)
        assert len(told) == 3
        assert all(line.endswith(f"{place}: is not a regular file") for line in told)


def documented() -> dict[str, dict[str, str]]:
    """Return the defaults that the documentation gives, by section and key."""
    sections: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in DOCUMENT.read_text().partition("## Configuration reference")[2].splitlines():
        if header := re.match(r"### `(\[+\w+\]+)`$", line):
            section = sections[header[1]] = {}
        elif row := re.match(r"\| `(\w+)` \|(.*?)\| .+ \|$", line):
            section[row[1]] = row[2].strip().strip("`")
    return sections


def real() -> dict[str, dict[str, str]]:
    """Return the defaults that the models have, written as TOML has them."""
    sections = {}
    for name, field in Configuration.model_fields.items():
        header = f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]"
        model = next(tables_in(field.annotation))
        sections[header] = {key: written(value) for key, value in model.model_fields.items()}
    return sections


def written(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Listen):
        value = str(value)
    return "" if value is None else json.dumps(value)


def test_the_reference_in_the_documentation_has_every_key_and_its_default() -> None:
    assert documented() == real()


def test_mistakes_that_the_documentation_shows_are_told_so() -> None:
    text = DOCUMENT.read_text()
    shown = [line for line in text.splitlines() if line.startswith("bench.toml:")]
    told = mistakes(
        '[metrics]\nlisten = "localhost:9464"\n'
        + STREAM.replace(":5004", ":0")
        + "\n"
        + STREAM.replace('"a"', '"b"').removeprefix("\n")
        + "limits.max_dc = 1"
    )
    assert len(told) == len(shown) == 3
    for line, example in zip(told, shown, strict=True):
        assert line.startswith(example.removesuffix("..."))


def test_the_history_of_a_configuration_is_found_without_the_rest(tmp_path: Path) -> None:
    configuration = tmp_path / "bench.toml"
    stream = '[[stream]]\nname = "a"\nsource = "rtp://127.0.0.1:5004"\nreference = "none"\n'
    configuration.write_text(f'[history]\npath = "deep/events.sqlite"\n{stream}')
    assert history_path_in(configuration) == tmp_path / "deep" / "events.sqlite"
    # Who looks events up may not read what the daemon may.
    metrics = '[metrics]\ntoken_file = "nobody may read this"\n'
    configuration.write_text(f'{metrics}[history]\npath = "deep/events.sqlite"\n{stream}')
    assert history_path_in(configuration) == tmp_path / "deep" / "events.sqlite"
    configuration.write_text(stream)
    with pytest.raises(ConfigurationError, match=r"bench\.toml: has no \[history\]"):
        history_path_in(configuration)
    configuration.write_text(f"[history]\nmax_bytes = 5\n{stream}")
    with pytest.raises(ConfigurationError) as caught:
        history_path_in(configuration)
    assert [line.split("bench.toml:")[1] for line in str(caught.value).splitlines()] == [
        "1: history.path: is missing",
        "2: history.max_bytes = 5: should be greater than or equal to 1048576",
    ]
