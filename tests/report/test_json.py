import json

import numpy as np
import pytest

from rtpverify.events import ClickSize
from rtpverify.report import json as report
from rtpverify.result import Signal


def test_is_the_published_form(failed):
    data = json.loads(report.render(failed))
    assert data == failed.to_dict()
    assert data["schema"] == "rtpverify.result/1"
    assert data["verdict"] == "fail"
    assert data["streams"][1]["ssrc"] == "0x5eed0001"
    assert data["streams"][1]["events"][0]["slip_frames"] == 48


def test_what_is_not_finite_is_null(passed):
    passed.streams[0].signal = [Signal(channel=1, level_dbfs=float("-inf"), thd_db=float("nan"))]
    passed.streams[0].signal[0].residual_dbfs = np.float64("inf")

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads(report.render(passed), parse_constant=refuse)
    signal = data["streams"][0]["signal"][0]
    assert (signal["level_dbfs"], signal["thd_db"], signal["residual_dbfs"]) == (None, None, None)


def test_numpy_numbers_are_numbers(failed):
    failed.streams[1].events[0].size = ClickSize(bit_errors=np.int64(7), deviation=np.float32(0.5))
    event = json.loads(report.render(failed))["streams"][1]["events"][0]
    assert (event["bit_errors"], event["deviation"]) == (7, 0.5)


def test_anything_else_is_refused(failed):
    failed.streams[1].events[0].size = ClickSize(deviation=object())
    with pytest.raises(TypeError, match="object cannot be part"):
        report.render(failed)
