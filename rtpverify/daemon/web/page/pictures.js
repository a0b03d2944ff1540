// What each plot of a stream shows, made of what the API answers.

import { NONE, count, duration, exponent, fixed, short, significant } from "./format.js";
import { roundUp, ticks } from "./axes.js";

const HISTORY_SECONDS = 600;
const DOT_FRAMES = 300;
const FLOOR_DBFS = -180;

function nearest(xs, x) {
  let low = 0;
  let high = xs.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle;
    else high = middle;
  }
  return x - xs[low] < xs[high] - x ? low : high;
}

function nothing(x, y, text) {
  return { x, y, layers: [], empty: text, says: text };
}

function largest(...lists) {
  let most = 0;
  for (const list of lists) for (const value of list) if (value !== null && Math.abs(value) > most) most = Math.abs(value);
  return most;
}

// A range that does not jump with every picture: it grows at once, and shrinks when much too wide.
export class Range {
  constructor(least) {
    this.least = least;
    this.top = least;
  }

  fit(most) {
    const wanted = Math.max(this.least, roundUp(most * 1.05));
    if (wanted > this.top || wanted < this.top / 2.4) this.top = wanted;
    return this.top;
  }
}

function times(scope) {
  const step = scope.frames_per_column / scope.sample_rate;
  return scope.low.map((_, index) => scope.start_seconds + index * step);
}

function spanAxis(scope, xs) {
  const min = scope.start_seconds < 0 ? scope.start_seconds : 0;
  const max = xs.length ? xs[xs.length - 1] : 0.01;
  const unit = max - min > 0.2 ? 1 : 1e3;
  return { min, max, format: (seconds) => `${significant(seconds * unit, 4)}${unit === 1 ? " s" : " ms"}` };
}

function holesOf(scope, xs) {
  const step = scope.frames_per_column / scope.sample_rate;
  const spans = [];
  scope.low.forEach((value, index) => {
    if (value !== null) return;
    const last = spans[spans.length - 1];
    if (last && Math.abs(last[1] - xs[index]) < step / 2) last[1] += step;
    else spans.push([xs[index], xs[index] + step]);
  });
  return { kind: "holes", spans, colour: "network" };
}

function trace(scope, xs, low, high, colour, factor = 1) {
  const scaled = (values) => (factor === 1 ? values : values.map((value) => (value === null ? null : value * factor)));
  if (scope.frames_per_column > 1) return [{ kind: "area", xs, low: scaled(low), high: scaled(high), colour }];
  const ys = scaled(low);
  const layers = [{ kind: "line", xs, ys, colour, width: 1.5 }];
  if (xs.length <= DOT_FRAMES) layers.push({ kind: "dots", xs, ys, colour, size: xs.length <= 120 ? 3 : 2 });
  return layers;
}

export function waveform(scope, range, atFault) {
  const xs = times(scope);
  const x = spanAxis(scope, xs);
  const reference = scope.reference?.frequency_hz === undefined ? null : scope.reference;
  const recording = scope.reference?.low ? scope.reference : null;
  const top = range.fit(Math.max(largest(scope.low, scope.high), reference?.amplitude ?? 0, recording ? largest(recording.low, recording.high) : 0));
  const y = { min: -top, max: top, format: (value) => significant(value, 3) };
  const layers = [];
  const value = reference && ((seconds) => reference.amplitude * Math.cos(2 * Math.PI * reference.frequency_hz * seconds + reference.phase_rad) + reference.dc_offset);
  const periods = reference ? (x.max - x.min) * reference.frequency_hz : 0;
  if (value && periods <= 60) layers.push({ kind: "curve", of: value, colour: "reference", width: 6, alpha: 0.45 });
  else if (reference) {
    layers.push({ kind: "limits", values: [reference.dc_offset - reference.amplitude, reference.dc_offset + reference.amplitude], colour: "reference", width: 3, alpha: 0.6 });
  }
  if (recording && scope.frames_per_column === 1) layers.push({ kind: "line", xs, ys: recording.low, colour: "reference", width: 6, alpha: 0.45 });
  else if (recording) layers.push({ kind: "area", xs, low: recording.low, high: recording.high, colour: "reference" });
  layers.push(...trace(scope, xs, scope.low, scope.high, "signal"), holesOf(scope, xs));
  if (atFault) layers.push({ kind: "marks", xs: [0], colour: "upstream" });
  const read = (seconds) => {
    const index = nearest(xs, seconds);
    if (index < 0) return "";
    const frame = scope.start_frame + index * scope.frames_per_column;
    const sample = scope.low[index] === null ? "never arrived" : scope.frames_per_column > 1 ? `${significant(scope.low[index], 4)} … ${significant(scope.high[index], 4)}` : significant(scope.low[index], 7);
    const laidOver = value && periods <= 60 ? value(xs[index]) : recording && scope.frames_per_column === 1 ? recording.low[index] : null;
    const expected = laidOver === null ? "" : `, reference ${significant(laidOver, 7)}`;
    return `frame ${count(frame)}: ${sample}${expected}`;
  };
  const laid = reference ? `reference, ${fixed(reference.frequency_hz, 4)} Hz` : recording ? "reference recording" : "";
  const legend = [["signal", "received"], ...(laid ? [["reference", laid]] : [])];
  const note = laid ? "" : "reference not found";
  const says = `${duration(x.max - x.min)} of channel ${scope.channel}; ${laid || note}.`;
  return { x, y, layers, read, legend, note, says };
}

export function residual(scope, range) {
  const xs = times(scope);
  const x = spanAxis(scope, xs);
  if (!scope.residual) return nothing(x, { min: -1, max: 1, format: String }, "no reference to subtract");
  const inSteps = scope.step !== null;
  const factor = inSteps ? 1 / scope.step : 1;
  const { low, high } = scope.residual;
  const limit = scope.threshold === null ? 0 : scope.threshold * factor;
  const most = largest(low, high) * factor;
  const top = range.fit(Math.max(most, Math.min(limit * 1.2, most > 0 ? most * 20 : limit * 1.2)));
  const format = (value) => (inSteps ? `${short(value)} LSB` : exponent(value, 0));
  const layers = [{ kind: "limits", values: [0], colour: "reference", width: 2, alpha: 0.6 }];
  if (limit) layers.push({ kind: "limits", values: [-limit, limit], colour: "limit", width: 1.5, dash: [6, 4] });
  layers.push(...trace(scope, xs, low, high, "residual", factor), holesOf(scope, xs));
  const read = (seconds) => {
    const index = nearest(xs, seconds);
    if (index < 0 || low[index] === null) return index < 0 ? "" : "never arrived";
    const size = Math.abs(high[index]) > Math.abs(low[index]) ? high[index] : low[index];
    return `frame ${count(scope.start_frame + index * scope.frames_per_column)}: ${inSteps ? `${short(size * factor)} LSB, ` : ""}${exponent(size, 2)} of full scale`;
  };
  const past = limit > 0 && most > limit;
  const size = inSteps ? `${short(most)} LSB` : `${exponent(most, 2)} of full scale`;
  const note = `${past ? "exceeded: " : ""}at most ${size}`;
  const reach = inSteps ? `${significant(limit, 3)} LSB` : exponent(limit, 2);
  const legend = [["residual", "received minus reference"], ...(limit ? [["limit", `detection threshold, ${reach}`]] : [])];
  return { x, y: { min: -top, max: top, format }, layers, read, legend, note, says: `${note}; detection threshold ${reach}.` };
}

export function spectrum(scope) {
  const { frequency_hz: xs, level_dbfs: ys, resolution_hz: resolution } = scope.spectrum;
  const x = { min: 20, max: scope.sample_rate / 2, log: true, format: (hz) => (hz >= 1000 ? `${significant(hz / 1000, 3)} kHz` : `${hz} Hz`) };
  const y = { min: FLOOR_DBFS, max: 6, format: (level) => fixed(level, 0), ticks: ticks(FLOOR_DBFS, 0, 6) };
  if (xs.length === 0) return nothing(x, y, "not enough frames yet");
  const layers = [];
  if (scope.reference?.frequency_hz) {
    const harmonics = [1, 2, 3, 4, 5].map((order) => order * scope.reference.frequency_hz).filter((hz) => hz < x.max);
    layers.push({ kind: "marks", xs: harmonics, colour: "reference", width: 1, alpha: 0.6 });
  }
  layers.push({ kind: "line", xs, ys: ys.map((level) => Math.max(level, FLOOR_DBFS)), colour: "signal" });
  const peak = ys.indexOf(Math.max(...ys));
  const read = (hz) => {
    const index = nearest(xs, hz);
    return `${significant(xs[index], 4)} Hz: ${fixed(ys[index], 1)} dBFS`;
  };
  const note = `dBFS, lines ${significant(resolution, 2)} Hz apart`;
  return { x, y, layers, read, note, says: `Highest at ${significant(xs[peak], 4)} hertz, ${fixed(ys[peak], 1)} dBFS.` };
}

// Histories -----------------------------------------------------------------------------------------------------------

function ageAxis(history) {
  const now = history.time.length ? history.time[history.time.length - 1] : 0;
  const span = Math.min(HISTORY_SECONDS, Math.max(60, now - (history.time[0] ?? now)));
  const format = (seconds) => (seconds === 0 ? "now" : seconds % 60 === 0 ? `−${-seconds / 60} min` : `−${-seconds} s`);
  const step = span > 240 ? 60 : span > 90 ? 30 : 10;
  const places = Array.from({ length: Math.floor(span / step) + 1 }, (_, index) => -index * step);
  const most = 8;
  const every = Math.ceil(places.length / most);
  return { now, axis: { min: -span, max: 0, format, ticks: places.filter((_, index) => index % every === 0) } };
}

function eventMarks(events, now, min, wanted) {
  return ["network", "upstream", "unknown"].map((cause) => ({
    kind: "marks",
    xs: events
      .filter((event) => event.fault && event.cause === cause && event.time && wanted(event))
      .map((event) => Date.parse(event.time) / 1000 - now)
      .filter((seconds) => seconds >= min),
    colour: cause,
    width: 1,
    alpha: 0.8,
  }));
}

function past(seconds) {
  return seconds > -0.5 ? "now" : `${Math.round(-seconds)} s ago`;
}

export function phase(history, channel, events, rate) {
  const { now, axis } = ageAxis(history);
  const raw = history.channels[channel - 1]?.phase_degrees ?? [];
  const xs = history.time.map((time) => time - now);
  let before = null;
  let turn = 0;
  const ys = raw.map((value) => {
    if (value === null) return null;
    if (before !== null) turn += -360 * Math.round((value - before) / 360);
    before = value;
    return value + turn;
  });
  const known = ys.filter((value) => value !== null);
  if (known.length === 0) return nothing(axis, { min: -1, max: 1, format: String }, "no tone tracked");
  const first = known[0];
  const shown = ys.map((value) => (value === null ? null : value - first));
  const low = Math.min(...known) - first;
  const high = Math.max(...known) - first;
  const margin = Math.max((high - low) * 0.1, 0.01);
  const format = (value) => `${significant(value, 3)}°`;
  const read = (seconds) => {
    const index = nearest(xs, seconds);
    return index < 0 || shown[index] === null ? "" : `${past(xs[index])}: ${fixed(shown[index], 4)}°`;
  };
  const last = shown.findLast((value) => value !== null);
  const note = rate ? `relative to an ideal ${fixed(rate, 0)} Hz; a slope is clock drift, a step a slip` : "a slope is clock drift, a step a slip";
  return {
    x: axis,
    y: { min: low - margin, max: high + margin, format },
    layers: [
      ...eventMarks(events, now, axis.min, (event) => event.channel === null || event.channel === channel),
      { kind: "line", xs, ys: shown, colour: "signal" },
    ],
    read,
    note,
    says: `Now ${fixed(last, 3)} degrees from the start.`,
  };
}

export function levels(history, channel, events) {
  const { now, axis } = ageAxis(history);
  const { level_dbfs: level = [], residual_dbfs: left = [] } = history.channels[channel - 1] ?? {};
  const xs = history.time.map((time) => time - now);
  const y = { min: -160, max: 0, format: (value) => fixed(value, 0) };
  if (xs.length === 0) return nothing(axis, y, "nothing measured yet");
  const known = (list, seconds) => fixed(list[nearest(xs, seconds)] ?? null, 2);
  return {
    x: axis,
    y,
    layers: [
      ...eventMarks(events, now, axis.min, (event) => event.channel === null || event.channel === channel),
      { kind: "line", xs, ys: level, colour: "signal", width: 2 },
      { kind: "line", xs, ys: left, colour: "residual", width: 2 },
    ],
    read: (seconds) => `${past(seconds)}: level ${known(level, seconds)}, residual ${known(left, seconds)} dBFS`,
    legend: [["signal", "level"], ["residual", "residual, dBFS"]],
    says: `Now level ${known(level, 0)}, residual ${known(left, 0)} dBFS.`,
  };
}

export function losses(history, events, range) {
  const { now, axis } = ageAxis(history);
  const xs = history.time.map((time) => time - now);
  const top = range.fit(largest(history.packets_lost));
  const y = { min: 0, max: top, format: (value) => significant(value, 3) };
  const total = history.packets_lost.reduce((sum, value) => sum + (value ?? 0), 0);
  const read = (seconds) => {
    const index = nearest(xs, seconds);
    return index < 0 ? "" : `${past(xs[index])}: ${count(history.packets_lost[index])} lost of ${count(history.packets_expected[index])}`;
  };
  const note = total ? `${count(total)} packets lost in the time shown` : "no packet lost in the time shown";
  return {
    x: axis,
    y,
    layers: [{ kind: "bars", xs, ys: history.packets_lost, seconds: 0.5, colour: "network" }, ...eventMarks(events, now, axis.min, (event) => event.cause === "network")],
    read,
    note,
    says: note,
  };
}

export function jitter(history, range) {
  const { now, axis } = ageAxis(history);
  const xs = history.time.map((time) => time - now);
  const top = range.fit(largest(history.jitter_seconds));
  const last = history.jitter_seconds.findLast((value) => value !== null) ?? null;
  const read = (seconds) => `${past(seconds)}: ${duration(history.jitter_seconds[nearest(xs, seconds)] ?? null)}`;
  return {
    x: axis,
    y: { min: 0, max: top, format: duration },
    layers: [{ kind: "line", xs, ys: history.jitter_seconds, colour: "signal", width: 2 }],
    read,
    note: `interarrival jitter (RFC 3550), now ${last === null ? NONE : duration(last)}`,
    says: `Now ${duration(last)}.`,
  };
}
