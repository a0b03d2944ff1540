"""The best explanation of a departure: by its score, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure
from rtpverify.detect.explain.faults import FAULTS
from rtpverify.detect.explain.faults.content import describe_mismatch
from rtpverify.detect.explain.faults.noise import Click, describe_click, describe_noise
from rtpverify.detect.explain.likelihood import OUTLIER, Noise, best_interval
from rtpverify.detect.explain.model import FaultModel, Fitted
from rtpverify.events import EventSize, Kind

ROUNDS = 4
"""Fits and edges in turn; from the third on they hardly move."""
ANYTHING = frozenset({Kind.NOISE, Kind.MISMATCH, Kind.CLICK})
"""Kinds whose frames may hold anything: within them nothing departs any more."""
_WORTH_MORE = 0.3
"""Share of the best score, as first fitted, from which on an explanation may become the best with its edges."""
_AS_GOOD = 0.8
"""The same where the best one leaves nothing: others are no better, only as good."""
_FEW = 256
"""Frames of many that show which explanations of memoryless faults are far from the best, if a quarter are wrong."""
ALTERNATIVE = 0.05
"""Posterior from which on another explanation is named."""
SURE = 14.0
"""Nats by which frames after a fault have to speak for order: as much as one frame can that would be wrong under it."""
_ALIKE = 0.04
"""Rounding and dither are no white noise, which the score takes them for: of explanations that leave nothing but noise,
those within this share of the best score are as good, and priors decide."""
_EDGE_SECONDS = 0.005
"""So much at either edge of what looks wrong is omitted from the first fit, where as much is left."""
_ENDS = 1e-3
"""Chance that a fault ends at a frame: what does nothing for 1000 frames has to be worth a nat to belong to it."""
_MOST = 8
"""Explanations of one departure; what still departs then is noise of many faults."""


@dataclass(frozen=True)
class Explanation:
    """What a departure is.

    Attributes
    ----------
    size, message
        Of its event; the size says of which kind.
    start, stop
        First frame, and the one after the last, on the media timeline.
    score
        How much better it explains the frames than order does, in nats.
    confidence
        Posterior probability among the models that were tried.
    alternatives
        The other kinds above 0.05, with theirs.
    ended
        Whether the frames after ``stop`` show that it is over.
    signal, noise
        What it expects of the frames of the departure, shape (n,), and how noisy.
    fits
        Which of them it explains, shape (n,).
    """

    size: EventSize
    message: str
    start: int
    stop: int
    score: float
    confidence: float
    alternatives: Mapping[Kind, float]
    ended: bool
    signal: NDArray[np.float64]
    noise: Noise
    fits: NDArray[np.bool_]

    @property
    def kind(self) -> Kind:
        """What happened."""
        return self.size.kind

    def figure(self, name: str) -> float:
        """Return a figure of the size that its kind has.

        Parameters
        ----------
        name
            Name of the figure.

        Returns
        -------
        float
            Its value.
        """
        return float(getattr(self.size, name))


@dataclass(frozen=True)
class _Scored:
    """A fitted model with its interval.

    ``gain`` is its log-likelihood over that of order, frame by frame, 0 where it cannot be; ``fits`` shows which frames
    it explains.
    """

    fault: FaultModel
    fitted: Fitted
    start: int
    stop: int
    gain: NDArray[np.float64]
    fits: NDArray[np.bool_]
    score: float

    @property
    def prior(self) -> float:
        """What it costs beyond its parameters, in nats."""
        return self.fault.prior + self.fitted.prior

    @property
    def weight(self) -> float:
        """Its score less its prior."""
        return self.score - self.prior


@dataclass(frozen=True)
class _Candidate:
    """A model as it first explains what looks wrong, but for its edges.

    Attributes
    ----------
    core
        The frames it was fitted to.
    fitted
        None where only a few of them were taken.
    weight
        Its score less its prior, for all of them.
    complete
        Whether it leaves nothing but the noise.
    """

    fault: FaultModel
    core: slice
    fitted: Fitted | None
    weight: float
    complete: bool


def explain(departure: Departure, faults: Iterable[FaultModel] = FAULTS) -> Explanation | None:
    """Return the best explanation of a departure; None where nothing explains it better than order does.

    Parameters
    ----------
    departure
        The frames that depart.
    faults
        Those that are tried.

    Returns
    -------
    Explanation or None
        The best one.
    """
    faults = [fault for fault in faults if _lasts(departure, fault, departure.stop - departure.first)]
    first = _screened(departure, [fault for fault in faults if not fault.costly(departure)])
    scored = _settled(departure, first, 0.0)
    most = max(scored, key=lambda item: item.weight, default=None)
    if most is None or not (most.fitted.complete and _explains_all(departure, most)):
        costly = _screened(departure, [fault for fault in faults if fault.costly(departure)])
        scored += _settled(departure, costly, 0.0 if most is None else most.weight)
    top = max((item.weight for item in scored), default=0.0)
    if top <= 0.0:
        return None
    best: dict[Kind, tuple[float, _Scored]] = {}
    for item in scored:
        short = top - item.weight
        if item.fitted.complete:
            short = max(0.0, short - _ALIKE * top)
        weight = -short - item.prior
        if item.fault.kind not in best or weight > best[item.fault.kind][0]:
            best[item.fault.kind] = weight, item
    ranked = sorted(best.values(), key=lambda pair: -pair[0])
    likelihood = np.exp(np.array([weight for weight, _ in ranked]) - ranked[0][0])
    posterior = likelihood / likelihood.sum()
    shares = zip(ranked[1:], posterior[1:].tolist(), strict=True)
    others = {item.fault.kind: share for (_, item), share in shares if share > ALTERNATIVE}
    chosen = ranked[0][1]
    size, message = chosen.fitted.describe(departure, slice(chosen.start, chosen.stop))
    after = float(chosen.gain[chosen.stop :][departure.valid[chosen.stop :]].sum())
    return Explanation(
        size,
        message,
        departure.start + chosen.start,
        departure.start + chosen.stop,
        chosen.score,
        float(posterior[0]),
        others,
        after < -SURE,
        chosen.fitted.signal,
        chosen.fitted.noise,
        chosen.fits,
    )


def _screened(departure: Departure, faults: Iterable[FaultModel]) -> list[_Candidate]:
    """Return how faults explain what looks wrong, but for its edges: memoryless ones by a few frames of it."""
    edge = departure.frames(_EDGE_SECONDS)
    inner = min(max(departure.stop - departure.first - 2 * edge, 0) // 2, edge)
    whole = slice(departure.first, departure.stop)
    core = slice(whole.start + inner, whole.stop - inner)
    few, all_few = _thinned(departure, core), slice(0, _FEW)
    found: list[_Candidate] = []
    for fault in faults:
        if few is not None and fault.memoryless:
            for fitted in fault.fit(few.part(all_few)):
                weight = _weight(few, fault, fitted, (whole.stop - whole.start) / _FEW)
                found.append(_Candidate(fault, core, None, weight, fitted.complete))
        else:
            # Nearer to its edges there may be enough of it.
            for frames in (core, whole):
                fits = fault.fit(departure.part(frames))
                found += [
                    _Candidate(fault, frames, item, _weight(departure, fault, item), item.complete) for item in fits
                ]
                if fits:
                    break
    return found


def _thinned(departure: Departure, core: slice) -> Departure | None:
    """Return a few frames of many, where enough of them are wrong to show by what."""
    if core.stop - core.start <= 2 * _FEW:
        return None
    few = departure.thinned(core, _FEW)
    wrong = np.abs(few.x - few.expected) > few.noise.reach
    return few if 4 * np.count_nonzero(wrong & few.valid) >= _FEW else None


def _settled(departure: Departure, candidates: Sequence[_Candidate], least: float) -> list[_Scored]:
    """Return how candidates explain a departure, with both edges where they explain it best; the likeliest first.

    Those that are far from the best, or from ``least``, as they are first fitted are omitted; so are those that leave
    more than noise, and explain no more than it does.
    """
    plain = max((item.weight for item in candidates if item.fault.kind is Kind.NOISE), default=0.0)
    enough = _WORTH_MORE * max([least, *(item.weight for item in candidates)], default=0.0)
    settled: list[_Scored] = []
    for item in sorted(candidates, key=lambda item: -item.weight):
        if item.weight < enough:
            break
        if not item.complete and item.weight < plain:
            continue
        found = _settle(departure, item)
        if found is None or found.start >= departure.stop or found.stop <= departure.first:
            continue
        settled.append(found)
        if found.fitted.complete and _explains_all(departure, found):
            enough = max(enough, _AS_GOOD * item.weight)
    return settled


def _explains_all(departure: Departure, found: _Scored) -> bool:
    """Return whether nothing could explain what looks wrong better, but for being likelier beforehand."""
    looks_wrong = slice(departure.first, departure.stop)
    best = np.maximum(departure.noise.part(looks_wrong).peak - departure.in_order[looks_wrong], 0.0)
    possible = float(np.sum(best, where=departure.valid[looks_wrong]))
    return float(found.gain[found.start : found.stop].sum()) >= (1.0 - _ALIKE) * possible


def _is_click(departure: Departure, frames: int) -> bool:
    return _lasts(departure, Click(), frames)


def _lasts(departure: Departure, fault: FaultModel, frames: int) -> bool:
    rate_hz = departure.reference.sample_rate_hz
    return fault.least_seconds * rate_hz < frames <= max(1.0, fault.most_seconds * rate_hz)


def _cost(departure: Departure, fitted: Fitted, frames: int) -> float:
    """Return what the parameters of a model cost, in nats: the logarithm of how many values each could have had.

    As many as the noise of so many frames distinguishes: of those that may be anything within full scale, 2 wide; of
    those of the noise about as many as the square root of the frames.
    """
    each = 0.5 * math.log(max(frames, 2))
    return (fitted.parameters + fitted.spreads) * each + fitted.parameters * math.log(2.0 / departure.noise.rms)


def _gain(departure: Departure, fault: FaultModel, likelihood: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-likelihood of each frame over that of order, 0 where nothing arrived or the fault cannot reach."""
    gain = likelihood - departure.in_order
    if not departure.is_whole:
        gain[~departure.valid] = 0.0
    most = max(1.0, fault.most_seconds * departure.reference.sample_rate_hz)
    if most < len(departure.x):
        gain[: max(0, departure.stop - int(most))] = gain[departure.first + int(most) :] = 0.0
    return gain


def _weight(departure: Departure, fault: FaultModel, fitted: Fitted, times: float = 1.0) -> float:
    """Return the score of a fitted model less its prior; each frame counts as so many."""
    gain = _gain(departure, fault, fitted.log_likelihood(departure)) - _ENDS
    start, stop, total = best_interval(gain)
    frames = round(times * (stop - start))
    return times * total - _cost(departure, fitted, frames) - fault.prior - fitted.prior if frames else -math.inf


def _score(departure: Departure, fault: FaultModel, fitted: Fitted) -> _Scored | None:
    """Return a fitted model with the interval that it explains best; None where that is none, or too long or short."""
    likelihood = fitted.log_likelihood(departure)
    gain = _gain(departure, fault, likelihood)
    start, stop, total = best_interval(gain - _ENDS)
    frames = int(np.count_nonzero(departure.valid[start:stop]))
    if frames == 0 or not _lasts(departure, fault, stop - start):
        return None
    fits = departure.valid & (likelihood > OUTLIER)
    return _Scored(fault, fitted, start, stop, gain, fits, total - _cost(departure, fitted, frames))


def _settle(departure: Departure, candidate: _Candidate) -> _Scored | None:
    """Return a model fitted inside its interval again until it moves no more; None where it explains nothing then."""
    fault, fitted = candidate.fault, candidate.fitted
    if fitted is None:
        fitted = next(iter(fault.fit(departure.part(candidate.core))), None)
    found = None if fitted is None else _score(departure, fault, fitted)
    if found is None:
        return None
    for _ in range(ROUNDS - 1):
        inside = slice(found.start, found.stop)
        # What it does not explain says nothing of its parameters.
        count = int(np.count_nonzero(found.fits[inside]))
        few = 2 * count < np.count_nonzero(departure.valid[inside])
        again = fault.again(found.fitted, departure.part(inside, None if few else found.fits))
        if again is None:
            return None
        scored = _score(departure, fault, again)
        if scored is None:
            break
        moved = (scored.start, scored.stop) != (found.start, found.stop) or np.any(scored.fits != found.fits)
        found = scored
        if not moved:
            break
    if found.fitted.complete or fault.kind is Kind.CLICK or not _is_click(departure, found.stop - found.start):
        return found
    return None  # so few frames look like any curve


def anything(departure: Departure) -> Explanation:
    """Return what can be said of frames that are wrong for sure, and that nothing explains better than order does.

    Parameters
    ----------
    departure
        The frames that depart.

    Returns
    -------
    Explanation
        A ``click``, ``noise`` or ``mismatch``.
    """
    frames = slice(departure.first, departure.stop)
    describe = describe_mismatch if departure.reference.omega is None else describe_noise
    if _is_click(departure, departure.stop - departure.first):
        describe = describe_click
    size, message = describe(departure, frames)
    return Explanation(
        size,
        message,
        departure.start + departure.first,
        departure.start + departure.stop,
        score=0.0,
        confidence=0.0,
        alternatives={},
        ended=True,
        signal=departure.expected,
        noise=departure.noise,
        fits=departure.valid,
    )


def explain_all(
    departure: Departure, wrong: NDArray[np.float64] | float, faults: Iterable[FaultModel] = FAULTS
) -> list[Explanation]:
    """Return the explanations of a departure, and of what they leave: a click within a gain step, a loss within a slip.

    Parameters
    ----------
    departure
        The frames.
    wrong
        Deviation from which on a single frame is wrong: one number, or one for each frame, shape (n,).
    faults
        Those that are tried.

    Returns
    -------
    list of Explanation
        In the order of their starts; the one that explains most was taken as expected when the others were found.
    """
    found: list[Explanation] = []
    concerned = departure.valid.copy()
    concerned[: departure.first] = concerned[departure.stop :] = False
    left = concerned & (np.abs(departure.x - departure.expected) > wrong)
    for _ in range(_MOST):
        best = explain(departure, faults)
        if best is None:
            left[departure.first : departure.stop] = False
        else:
            found.append(best)
            inside = slice(best.start - departure.start, best.stop - departure.start)
            left[inside] = concerned[inside] & ~best.fits[inside] & (best.kind not in ANYTHING)
            departure = departure.assuming(best.signal, best.noise, inside)
        at = np.flatnonzero(left)
        if len(at) == 0:
            break
        apart = np.flatnonzero(np.diff(at) > departure.frames(_EDGE_SECONDS))
        last = at[apart[0]] if len(apart) else at[-1]
        departure = replace(departure, first=int(at[0]), stop=int(last) + 1)
    return sorted(found, key=lambda item: item.start)


def change_frame(before: NDArray[np.float64], after: NDArray[np.float64]) -> int:
    """Return at which frame one explanation gives way to another: where both together are most likely.

    Parameters
    ----------
    before, after
        Log-likelihood of each frame under either, shape (n,).

    Returns
    -------
    int
        The first frame of the second, 0 to n; the first of equals.
    """
    return int(np.concatenate([[0.0], np.cumsum(before - after)]).argmax())
