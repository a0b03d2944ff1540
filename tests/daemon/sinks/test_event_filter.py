from __future__ import annotations

from typing import Any

import pytest

from rtpverify.daemon.sinks.event_filter import ChoosingTable
from rtpverify.events import Cause, SlipSize, StallSize
from tests.helpers.documents import Telling


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({}, [1, 2, 3]),
        ({"faults_only": False}, [1, 2, 3, 4]),
        ({"kinds": ["slip", "gap"]}, [1, 2]),
        ({"causes": ["upstream"]}, [2]),
        ({"streams": ["le*"]}, [1, 2]),
        ({"streams": ["le*", "righ?"]}, [1, 2, 3]),
        ({"streams": ["right"], "kinds": ["stall"], "faults_only": False}, [3]),
        ({"causes": ["network"], "kinds": ["slip"]}, []),
    ],
)
def test_events_that_fit_every_choice(choice: dict[str, Any], chosen: list[int]) -> None:
    left, right = Telling("left"), Telling("right")
    told = [
        left.told(1),
        left.told(2, size=SlipSize(), cause=Cause.UPSTREAM),
        right.told(3, size=StallSize(), cause=Cause.UNKNOWN),
        right.told(4, fault=False),
    ]
    table = ChoosingTable.model_validate(choice)
    assert [item.event.start_frame for item in table.chosen(told)] == chosen


def test_an_event_is_told_as_it_begins_and_as_it_ends() -> None:
    bench = Telling()
    told = [
        bench.told(1, open=True),
        bench.told(1, is_new=False, open=True),
        bench.told(1, is_new=False),
        bench.told(2),
    ]
    chosen = ChoosingTable().chosen(told)
    assert [(item.event.start_frame, item.event.open) for item in chosen] == [(1, True), (1, False), (2, False)]
