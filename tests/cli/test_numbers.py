"""Numbers that no computation can use are refused where they are written, by every option that takes a number."""

import click
import pytest
from click.testing import CliRunner

from rtpverify.cli.app import main
from rtpverify.cli.limit_options import LIMIT_NAMES

NUMBERS = [
    (name, max(option.opts, key=len))
    for name, command in main.commands.items()
    for option in command.params
    if isinstance(option, click.Option) and isinstance(option.type, click.types.FloatParamType)
    if option.name not in LIMIT_NAMES  # infinity is a limit that nothing passes
]


def test_options_that_take_a_number_are_found():
    assert len(NUMBERS) > 10
    assert ("check", "--duration") in NUMBERS


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "1e308"])
@pytest.mark.parametrize(("command", "option"), NUMBERS, ids=["".join(pair) for pair in NUMBERS])
def test_no_number_at_all_is_refused(command, option, value):
    [parameter] = [one for one in main.commands[command].params if option in one.opts]
    with pytest.raises(click.BadParameter):
        parameter.type.convert(value, parameter, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tone", "x.wav", "--duration", "nan"], "--duration"),
        (["tone", "x.wav", "--fault", "gain:at=0,db=1e308"], "db=1e308 is not a number from -1000 to 1000"),
        (["tone", "x.wav", "--fault", f"slip:at=0,frames={'9' * 400}"], "is not a whole number other than 0"),
        (["check", "x.wav", "--reference", "9" * 400], "reference"),
    ],
)
def test_the_message_names_the_option(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(main, ["tone", "x.wav", "--duration", "0.1"]).exit_code == 0
    done = runner.invoke(main, arguments)
    assert done.exit_code == 2
    assert said in done.output
