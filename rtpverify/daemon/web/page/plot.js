// Plots on a canvas: axes with units, a few kinds of layers, and a cursor for pointer and keyboard.

import { logTicks, ticks } from "./axes.js";
import { make, setText } from "./dom.js";

const LEFT = 62;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 26;
const TICK_PIXELS = { x: 90, y: 38 };
const NAMES = ["text", "quiet", "line", "signal", "reference", "residual", "limit", "network", "upstream", "unknown", "hole", "card"];

const scheme = matchMedia("(prefers-color-scheme: dark)");
let colours = null;
scheme.addEventListener("change", () => {
  colours = null;
});

function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}

export class Plot {
  constructor(title, { height = 180, wide = false } = {}) {
    this.canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": title });
    this.canvas.style.height = `${height}px`;
    this.legend = make("span", { class: "legend" });
    this.note = make("span", { class: "note" });
    this.readout = make("span", { class: "readout" });
    const caption = make("figcaption", {}, make("h2", {}, title), this.legend, this.note, this.readout);
    this.element = make("figure", { class: wide ? "plot wide" : "plot" }, caption, this.canvas);
    this.title = title;
    this.picture = null;
    this.cursor = null;
    this.canvas.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.#point(null));
    this.canvas.addEventListener("blur", () => this.#point(null));
    this.canvas.addEventListener("keydown", (event) => this.#step(event));
    this.observer = new ResizeObserver(() => this.#paint());
    this.observer.observe(this.canvas);
    this.onScheme = () => this.#paint();
    scheme.addEventListener("change", this.onScheme);
  }

  close() {
    this.observer.disconnect();
    scheme.removeEventListener("change", this.onScheme);
  }

  // x and y: {min, max, format, log, ticks}; layers: see #layer; legend: [colour, name] of each; note: what else stands
  // above; read: (x) => text at the cursor; says: all of it in words.
  draw(picture) {
    this.picture = picture;
    setText(this.note, picture.note ?? "");
    this.#showLegend(picture.legend ?? []);
    const label = `${this.title}. ${picture.says ?? ""}`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
    this.#paint();
  }

  #showLegend(entries) {
    const text = entries.map((entry) => entry.join()).join();
    if (text === this.legendText) return;
    this.legendText = text;
    this.legend.replaceChildren(...entries.map(([colour, name]) => make("span", {}, make("i", { class: `key-${colour}`, "aria-hidden": "true" }), name)));
  }

  #paint() {
    const { canvas, picture } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!picture || width < LEFT + RIGHT + 20) return;
    const scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.box = { left: LEFT, right: width - RIGHT, top: TOP, bottom: height - BOTTOM };
    this.x = this.#axis(picture.x, this.box.left, this.box.right);
    this.y = this.#axis(picture.y, this.box.bottom, this.box.top);
    this.#grid(pen);
    pen.save();
    pen.beginPath();
    pen.rect(this.box.left, this.box.top - 1, this.box.right - this.box.left, this.box.bottom - this.box.top + 2);
    pen.clip();
    for (const layer of picture.layers) this.#layer(pen, layer);
    this.#drawCursor(pen);
    pen.restore();
    if (picture.empty) {
      pen.fillStyle = palette().quiet;
      pen.font = "14px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.fillText(picture.empty, (this.box.left + this.box.right) / 2, (this.box.top + this.box.bottom) / 2);
    }
    this.#read();
  }

  #axis({ min, max, log }, from, to) {
    const at = log ? Math.log : (value) => value;
    const low = at(min);
    const factor = (to - from) / (at(max) - low || 1);
    return { to: (value) => from + (at(value) - low) * factor, from: (pixel) => (log ? Math.exp : (v) => v)(low + (pixel - from) / factor) };
  }

  #grid(pen) {
    const { box, picture } = this;
    const { quiet, line } = palette();
    pen.font = "12px system-ui, sans-serif";
    pen.lineWidth = 1;
    pen.strokeStyle = line;
    pen.fillStyle = quiet;
    const marks = (axis, length, pixels) => axis.ticks ?? (axis.log ? logTicks(axis.min, axis.max) : ticks(axis.min, axis.max, length / pixels));
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.beginPath();
    for (const value of marks(picture.y, box.bottom - box.top, TICK_PIXELS.y)) {
      const y = Math.round(this.y.to(value)) + 0.5;
      pen.moveTo(box.left, y);
      pen.lineTo(box.right, y);
      pen.fillText(picture.y.format(value), box.left - 7, y);
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const taken = [];
    const places = marks(picture.x, box.right - box.left, TICK_PIXELS.x);
    for (const value of places) {
      const x = Math.round(this.x.to(value)) + 0.5;
      pen.moveTo(x, box.top);
      pen.lineTo(x, box.bottom);
      const text = picture.x.format(value);
      const half = pen.measureText(text).width / 2;
      const middle = Math.min(Math.max(x, box.left + half - 4), box.right + RIGHT - half - 1);
      if (taken.every(([from, to]) => middle + half < from || middle - half > to)) {
        pen.fillText(text, middle, box.bottom + 7);
        taken.push([middle - half - 6, middle + half + 6]);
      }
    }
    pen.stroke();
  }

  // line {xs, ys}, area {xs, low, high}, dots {xs, ys}, curve {of, stepped}, limits {values}, bars {xs, ys, width},
  // marks {xs}, holes {spans}: each with the name of a colour.
  #layer(pen, layer) {
    const colour = palette()[layer.colour];
    pen.strokeStyle = colour;
    pen.fillStyle = colour;
    pen.lineWidth = layer.width ?? 1.5;
    pen.lineJoin = "round";
    pen.globalAlpha = layer.alpha ?? 1;
    pen.setLineDash(layer.dash ?? []);
    this[`_${layer.kind}`](pen, layer);
    pen.globalAlpha = 1;
    pen.setLineDash([]);
  }

  _line(pen, { xs, ys }) {
    pen.beginPath();
    let broken = true;
    for (let index = 0; index < xs.length; index++) {
      if (ys[index] === null) {
        broken = true;
        continue;
      }
      const x = this.x.to(xs[index]);
      const y = this.y.to(ys[index]);
      if (broken) pen.moveTo(x, y);
      else pen.lineTo(x, y);
      broken = false;
    }
    pen.stroke();
  }

  _dots(pen, { xs, ys, size = 2 }) {
    pen.beginPath();
    for (let index = 0; index < xs.length; index++) {
      if (ys[index] === null) continue;
      const x = this.x.to(xs[index]);
      const y = this.y.to(ys[index]);
      pen.moveTo(x + size, y);
      pen.arc(x, y, size, 0, 2 * Math.PI);
    }
    pen.fill();
  }

  _area(pen, { xs, low, high }) {
    pen.beginPath();
    for (let index = 0; index < xs.length; index++) {
      if (low[index] === null) continue;
      const x = this.x.to(xs[index]);
      const top = this.y.to(high[index]);
      pen.moveTo(x, top - 0.75);
      pen.lineTo(x, Math.max(this.y.to(low[index]), top) + 0.75);
    }
    pen.stroke();
  }

  _curve(pen, { of }) {
    pen.beginPath();
    for (let pixel = this.box.left; pixel <= this.box.right; pixel += 0.5) {
      const y = this.y.to(of(this.x.from(pixel)));
      if (pixel === this.box.left) pen.moveTo(pixel, y);
      else pen.lineTo(pixel, y);
    }
    pen.stroke();
  }

  _limits(pen, { values }) {
    pen.beginPath();
    for (const value of values) {
      const y = Math.round(this.y.to(value)) + 0.5;
      pen.moveTo(this.box.left, y);
      pen.lineTo(this.box.right, y);
    }
    pen.stroke();
  }

  _bars(pen, { xs, ys, seconds }) {
    const wide = Math.max(2, Math.abs(this.x.to(seconds) - this.x.to(0)));
    for (let index = 0; index < xs.length; index++) {
      if (!ys[index]) continue;
      const y = this.y.to(ys[index]);
      pen.fillRect(this.x.to(xs[index]) - wide, y, wide, this.box.bottom - y);
    }
  }

  _marks(pen, { xs }) {
    pen.beginPath();
    for (const value of xs) {
      const x = Math.round(this.x.to(value)) + 0.5;
      pen.moveTo(x, this.box.top);
      pen.lineTo(x, this.box.bottom);
      pen.moveTo(x - 5, this.box.top);
      pen.lineTo(x + 5, this.box.top);
      pen.lineTo(x, this.box.top + 8);
      pen.closePath();
    }
    pen.stroke();
    pen.fill();
  }

  _holes(pen, { spans }) {
    for (const [from, to] of spans) {
      const left = this.x.to(from);
      const wide = Math.max(1, this.x.to(to) - left);
      pen.globalAlpha = 0.25;
      pen.fillRect(left, this.box.top, wide, this.box.bottom - this.box.top);
      pen.globalAlpha = 1;
      if (wide > 60) {
        pen.font = "12px system-ui, sans-serif";
        pen.textAlign = "center";
        pen.textBaseline = "top";
        pen.fillText("never arrived", left + wide / 2, this.box.top + 4);
      }
    }
  }

  // Cursor ------------------------------------------------------------------------------------------------------------

  #point(pixel) {
    if (!this.box || !this.picture) return;
    const inside = pixel !== null && pixel >= this.box.left && pixel <= this.box.right;
    this.cursor = inside ? pixel : null;
    this.readout.removeAttribute("role");
    this.#paint();
  }

  #step(event) {
    if (!this.box || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const { left, right } = this.box;
    const wide = (right - left) / (event.shiftKey ? 10 : 100);
    const from = this.cursor ?? (left + right) / 2;
    const to = { ArrowLeft: from - wide, ArrowRight: from + wide, Home: left, End: right }[event.key];
    this.cursor = Math.min(right, Math.max(left, to));
    this.readout.setAttribute("role", "status");
    this.#paint();
  }

  #drawCursor(pen) {
    if (this.cursor === null) return;
    pen.strokeStyle = palette().quiet;
    pen.lineWidth = 1;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(Math.round(this.cursor) + 0.5, this.box.top);
    pen.lineTo(Math.round(this.cursor) + 0.5, this.box.bottom);
    pen.stroke();
    pen.setLineDash([]);
  }

  #read() {
    const text = this.cursor === null ? "" : (this.picture.read?.(this.x.from(this.cursor)) ?? "");
    setText(this.readout, text);
  }
}
