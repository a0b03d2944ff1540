import pytest

from rtpverify.errors import ConfigurationError
from rtpverify.events import Kind
from rtpverify.sender.faults import FAULTS, parse_fault


def test_reads_every_part():
    fault = parse_fault("slip:at=1.5,frames=48,channel=1")
    assert (fault.kind, fault.at_seconds, fault.channel) == ("slip", 1.5, 1)
    assert fault.values == {"frames": 48}
    assert fault.start_frame(48000) == 72000
    assert not fault.transport


def test_a_stretch_is_given_in_seconds_or_frames_or_not_at_all():
    assert parse_fault("silence:at=1,duration=0.5").end_frame(48000) == 72000
    assert parse_fault("silence:at=1,frames=7").end_frame(48000) == 48007
    assert parse_fault("silence:at=1").end_frame(48000) is None


@pytest.mark.parametrize(
    "text",
    [
        "slip:at=1.5,frames=-48,channel=1",
        "distortion:at=2,harmonics_db=-30/-45",
        "loss:at=0.5,rate=0.01,seed=7,duration=2",
        "click:at=1,bit=3,frames=1",
        "ended:at=1,bye=yes",
        "missing",
        "missing:seconds=3",
    ],
)
def test_written_form_reads_back(text):
    fault = parse_fault(text)
    again = parse_fault(str(fault))
    assert (again.kind, again.at_seconds, again.channel, again.values) == (
        fault.kind,
        fault.at_seconds,
        fault.channel,
        fault.values,
    )
    assert again.frames(48000) == fault.frames(48000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("glitch:at=1", "unknown fault 'glitch'"),
        ("", "unknown fault ''"),
        ("slip:at=1", "frames is missing"),
        ("slip:frames=48", "at is missing"),
        ("slip:at=1,frames=0", "frames=0 is not a whole number other than 0"),
        ("slip:at=1,frames=4.5", "frames=4.5"),
        ("slip:at=-1,frames=4", "at=-1 is not a number from 0"),
        ("slip:at=inf,frames=4", "at=inf"),
        ("slip:at=1,frames=4,channel=0", "channel=0 is not a whole number from 1"),
        ("slip:at=1,frames=4,size=2", "unknown field 'size'; slip takes at, frames, channel"),
        ("slip:at=1,frames", "'frames' is not NAME=VALUE"),
        ("slip:at=1,at=2,frames=4", "at is given twice"),
        ("click:at=1", "exactly one of size, bit"),
        ("click:at=1,size=0.1,bit=2", "exactly one of size, bit"),
        ("dropout:at=1", "duration or frames is missing"),
        ("dropout:at=1,frames=3,duration=1", "not both"),
        ("dropout:at=1,frames=3,mode=burst", "mode=burst is not zero or hold"),
        ("clipping:at=1,level=0", "level=0 is not a number above 0, up to 1"),
        ("distortion:at=1,harmonics_db=-40/x", "harmonics_db=-40/x"),
        ("loss:at=1,packets=1,channel=1", "unknown field 'channel'"),
        ("loss:at=1,rate=1.5", "rate=1.5 is not a number from 0 to 1"),
        ("missing:at=1", "unknown field 'at'; missing takes seconds"),
        ("ended:at=1,bye=perhaps", "bye=perhaps is not no or yes or mux"),
        ("payload_type_change:at=1,to=128", "to=128 is not a whole number from 0 to 127"),
    ],
)
def test_a_mistake_is_told_with_place_field_and_value(text, told):
    with pytest.raises(ConfigurationError) as error:
        parse_fault(text, "bench.toml, faults[0]")
    message = str(error.value)
    assert message.startswith("bench.toml, faults[0]: ")
    assert told in message
    assert "\n" not in message


def test_every_kind_of_the_contract_that_a_sender_can_cause_is_there():
    named = set(FAULTS) | {"gap"}
    # Another sender takes another host.
    assert {str(kind) for kind in Kind} - named == {"jitter", "mismatch", "sender_change"}
