import numpy as np

from rtpverify.live.recent_peak import RecentPeak


def test_it_is_the_largest_of_the_last_seconds():
    rng = np.random.default_rng(1)
    times, values = np.cumsum(rng.uniform(0, 0.4, 500)), rng.uniform(0, 1, 500)
    asked = times + np.diff(times, append=times[-1]) * rng.uniform(0, 1, 500)
    peak = RecentPeak(2.0)
    assert peak.at(0.0) == 0.0
    for number, (at, now) in enumerate(zip(times, asked, strict=True), 1):
        peak.add(at, values[number - 1])
        assert peak.at(now) == max(values[:number][now - times[:number] < 2.0])
    assert peak.at(times[-1] + 2.0) == 0.0
