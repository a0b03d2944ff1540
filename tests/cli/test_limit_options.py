from dataclasses import fields

from rtpverify.limits import Limits
from tests.helpers.command import run


def test_every_limit_is_an_option():
    output = run("check", "--help").output
    for item in fields(Limits):
        assert f"--{item.name.replace('_', '-')}" in output
