"""Look at a recording from Python, cell by cell: run it as a script, or open it in an editor that knows ``# %%`` cells.

It makes ``studio.wav``, the recording that docs/inspect.md looks at: four seconds of stereo with something wrong on
each side. Needs nothing but rtpverify; what is commented at the end needs matplotlib.
"""

# %% Make the recording: left a tone with a dropout and a click, right a sweep that ends in "silence"
import numpy as np
import soundfile

import rtpverify

RATE_HZ = 48000
left = rtpverify.tone(997.0, seconds=4.0, level_dbfs=-6.0)[:, 0]
left[1 * RATE_HZ : 1 * RATE_HZ + 480] = 0.0
left[2 * RATE_HZ] = 0.9

time = np.arange(4 * RATE_HZ) / RATE_HZ
random = np.random.default_rng(1)
right = 0.3 * np.sin(2 * np.pi * 50 * (2 ** (2 * time) - 1) / (2 * np.log(2))) + random.normal(0, 0.001, len(time))
dither = random.random(RATE_HZ) - random.random(RATE_HZ)
right[3 * RATE_HZ :] = np.round(dither) / 32768

soundfile.write("studio.wav", np.stack([left, right], axis=1), RATE_HZ, "PCM_24")

# %% Figures of each channel
audio = rtpverify.read("studio.wav")
for found, name in zip(rtpverify.levels(audio.frames, audio.sample_rate_hz, bits=audio.bits), "LR", strict=True):
    print(f"{name}: level {found.level_dbfs:.2f} dBFS, peak {found.peak_dbfs:.2f}, noise {found.noise_floor_dbfs:.1f}")

# %% What does the right channel hold where it sounds like nothing?
[quiet] = rtpverify.levels(audio.frames[3 * RATE_HZ :, 1], RATE_HZ, bits=16)
print(quiet.silence.text)

# %% Where is the left channel not a sine? The check says it to the frame.
result = rtpverify.check(audio.frames[:, 0], RATE_HZ, reference="tone:997", bits=24)
for event in result.streams[0].events:
    print(f"{event.kind} at frame {event.start_frame}, {event.duration_frames} frames")

# %% Spectra: dBFS over frequency and time, for each channel
spectra = rtpverify.spectrogram(audio.frames, RATE_HZ)
octaves = rtpverify.constant_q(audio.frames, RATE_HZ, lowest_hz=27.5)
loudest = octaves.frequencies_hz[octaves.dbfs[1].argmax(axis=0)]
for second in (0.5, 1.5, 2.5):
    column = np.abs(octaves.times_seconds - second).argmin()
    print(f"the sweep is at {loudest[column]:.0f} Hz at {second} s")

# %% There and back again: exactly with the phase, nearly without
print(f"with phase: off by {np.abs(spectra.inverse() - audio.frames).max():.0e}")
made = rtpverify.griffin_lim(spectra.magnitude[:, :, :94], iterations=32)
print(f"without: {made.error_db:.0f} dB")

# %% With matplotlib: plt.pcolormesh(spectra.times_seconds, spectra.frequencies_hz, spectra.dbfs[0])
