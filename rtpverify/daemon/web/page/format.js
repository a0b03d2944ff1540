// Figures as people read them. What was not measured is a dash, never a number.

export const NONE = "–";

export const WORDS = {
  down: "Down",
  fault: "Fault",
  unjudged: "Unverified",
  recent: "Recent fault",
  waiting: "Waiting",
  ok: "OK",
};

// Worst first.
export const RANKS = ["down", "fault", "unjudged", "recent", "waiting", "ok"];

export function fixed(value, digits) {
  if (value === null || value === undefined) return NONE;
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

export function signed(value, digits) {
  if (value === null || value === undefined) return NONE;
  const text = fixed(value, digits);
  return value > 0 && Number(value.toFixed(digits)) !== 0 ? `+${text}` : text;
}

export function count(value) {
  return value === null || value === undefined ? NONE : value.toLocaleString("en-US");
}

export function counted(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export function exponent(value, digits = 1) {
  if (value === null || value === undefined) return NONE;
  return value === 0 ? "0" : value.toExponential(digits).replace("-", "−").replace("e-", "e−").replace("e+", "e");
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const size = Math.abs(seconds);
  if (size === 0) return "0 s";
  if (size < 1e-3) return `${significant(seconds * 1e6)} µs`;
  if (size < 1) return `${significant(seconds * 1e3)} ms`;
  return `${significant(seconds)} s`;
}

export function significant(value, digits = 3) {
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

// A number of any size in few characters: 83.9k.
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${significant(value / 1e6)}M`;
  return size >= 1e4 ? `${significant(value / 1e3)}k` : significant(value);
}

export function percent(ratio) {
  if (ratio === null || ratio === undefined) return NONE;
  if (ratio === 0) return "0 %";
  return `${significant(100 * ratio, 2)} %`;
}

export function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 100) return `${Math.floor(seconds)} s ago`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 360000) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

export function clock(time) {
  if (!time) return NONE;
  const at = new Date(time);
  const two = (number) => String(number).padStart(2, "0");
  const milliseconds = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${milliseconds}`;
}

export function greatest(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? Math.max(...known) : null;
}

export function kindName(kind) {
  return kind.replaceAll("_", " ");
}
