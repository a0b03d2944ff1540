"""Where packets cannot be taken together, the stream at fault is found and pays alone."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from rtpverify.engine.isolation import Isolation


@dataclass
class Part:
    """Rows of packets, as far as it matters here."""

    rows: list[int]

    def take(self, rows):
        return Part([self.rows[row] for row in rows])

    def __len__(self):
        return len(self.rows)


@dataclass
class Bench:
    """Takes packets of streams; of ``broken`` ones it cannot, nor of more than one at a time where ``apart``."""

    broken: set[int] = field(default_factory=set)
    apart: bool = False
    taken: list[tuple[int, list[int]]] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    failed: list[int | None] = field(default_factory=list)

    def __post_init__(self):
        self.isolation = Isolation(self.take, lambda index, _: self.begun.append(index), self.fail)

    def fail(self, index, _):
        self.failed.append(index)

    def take(self, part, stream):
        if self.broken.intersection(stream.tolist()) or (self.apart and len(set(stream.tolist())) > 1):
            raise ValueError("in the middle of it")
        self.taken.append((int(stream[0]), part.rows))
        return []


PART, STREAM = Part([10, 11, 12, 13]), np.array([2, 5, 2, 7])


def test_the_others_begin_again_and_the_one_at_fault_is_given_up():
    bench = Bench(broken={5})
    bench.isolation.take_apart(PART, STREAM, ValueError("together"))
    assert bench.taken == [(2, [10, 12]), (7, [13])]
    assert bench.begun == [2, 5, 7]
    assert bench.failed == [None, 5]
    assert bench.isolation.given_up == {5: 1}
    assert not bench.isolation.by_themselves


def test_where_none_is_at_fault_they_are_never_taken_together_again():
    bench = Bench(apart=True)
    bench.isolation.take_apart(PART, STREAM, ValueError("together"))
    assert [index for index, _ in bench.taken] == [2, 5, 7]
    assert (bench.isolation.by_themselves, bench.isolation.given_up) == (True, {})
    bench.isolation.take_each(PART, STREAM)
    assert len(bench.taken) == 6
    assert bench.begun == [2, 5, 7]  # taken by themselves, they continue


@pytest.mark.parametrize(("broken", "given_up"), [(set(), {}), ({5}, {5: 1})])
def test_a_stream_that_failed_alone_begins_again_with_its_packets(broken, given_up):
    bench = Bench(broken=broken)
    bench.isolation.take_failed(PART, STREAM, [(5, ValueError("alone"))])
    assert bench.begun == [5]
    assert bench.taken == ([] if broken else [(5, [11])])
    assert bench.isolation.given_up == given_up


def test_packets_of_what_was_given_up_are_counted():
    bench = Bench(broken={5})
    bench.isolation.take_apart(PART, STREAM, ValueError("together"))
    assert bench.isolation.leave_out(np.array([5, 2, 5, 5])).tolist() == [True, False, True, True]
    assert bench.isolation.given_up == {5: 4}
