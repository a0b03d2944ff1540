"""Clean chains with converters are clean, whatever their clocks and their electronics do within what they may do.

``make corpus`` draws many more; a failure prints the chain, which can be made again from that.
"""

import os

import pytest

from tests.helpers.seeds import generator
from tests.oracle import chains
from tests.oracle.signals import Stream
from tests.oracle.verdict import verify

CHAINS = int(os.environ.get("RTPVERIFY_CORPUS_CASES", "1"))
"""Random chains of each kind."""


def events(chain):
    stream = Stream(
        rate_hz=chain.rate_hz, bits=chain.bits, frequency_hz=chain.frequency_hz, level_dbfs=chain.level_dbfs
    )
    return verify(stream, chain.made(), "analog").events


@pytest.mark.parametrize("imperfection", sorted(chains.IMPERFECTIONS))
def test_a_clean_chain_has_no_events(imperfection):
    rng = generator(f"chain/{imperfection}")
    for _ in range(CHAINS):
        chain = chains.draw(rng, imperfection, seconds=8.0)
        assert not events(chain), chain
