// At which round values axes are marked: the live page loads this file, a report contains it.

// Round values that part a range in about so many steps.
export function ticks(min, max, most) {
  const rough = (max - min) / Math.max(1, most);
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => power * factor >= rough * 0.999);
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

export function logTicks(min, max) {
  const found = [];
  for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10) {
    for (const factor of [1, 2, 5]) if (power * factor >= min * 0.999 && power * factor <= max * 1.001) found.push(power * factor);
  }
  return found;
}

// The least round number that is no less.
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((factor) => power * factor >= value * 0.9999);
}
