"""Any bytes give an answer or a refusal: a short run of every target, and again each input that was once a crash.

``make fuzz`` is the long one. An input that it finds is kept in ``crashers/``, in the folder of its target, in as few
bytes as still do it, under a name that says what it did.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CRASHERS = Path(__file__).parent / "crashers"
EXAMPLES = {"audio": 40, "recordings": 12, "http": 40, "streams": 25, "configuration": 40}
KEPT = [(path.parent.name, path) for path in sorted(CRASHERS.glob("*/*"))]


@pytest.fixture
def take(request: pytest.FixtureRequest) -> Iterator[Callable[[bytes], None]]:
    with TARGETS[request.param].open() as opened:
        yield opened


@pytest.mark.parametrize(("take", "path"), KEPT, ids=[f"{name}-{path.name}" for name, path in KEPT], indirect=["take"])
def test_what_once_crashed(take: Callable[[bytes], None], path: Path) -> None:
    take(path.read_bytes())


def _edited(seed: bytes, edits: list[tuple[float, int, bytes]], end: float) -> bytes:
    """Replace, remove or insert bytes anywhere, and cut the end off."""
    data = bytearray(seed)
    for place, removed, added in edits:
        at = int(place * len(data))
        data[at : at + removed] = added
    return bytes(data[: max(1, int(end * len(data)))])


PLACE = st.floats(0, 1, exclude_max=True)
EDITS = st.lists(st.tuples(PLACE, st.integers(0, 4), st.binary(max_size=4)), max_size=6)


@pytest.mark.parametrize(("take", "name"), [(name, name) for name in TARGETS], ids=list(TARGETS), indirect=["take"])
def test_anything(take: Callable[[bytes], None], name: str) -> None:
    corpus = TARGETS[name].corpus
    for seed in corpus:
        take(seed)

    @settings(
        max_examples=EXAMPLES.get(name, 150),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(seed=st.sampled_from(corpus), edits=EDITS, end=st.just(1.0) | st.floats(0, 1), noise=st.binary(max_size=60))
    def run(seed: bytes, edits: list[tuple[float, int, bytes]], end: float, noise: bytes) -> None:
        take(_edited(seed, edits, end) if edits or end < 1 else noise)

    run()
