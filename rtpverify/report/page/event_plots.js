// Draws audio, packets and spectra around events. Everything is in the page; nothing is loaded.
const clips = JSON.parse(document.getElementById("clips").textContent);
const paper = document.body.appendChild(Object.assign(document.createElement("i"), {className: "paper", hidden: true}));
let palette = document.documentElement;
const colour = (name) => getComputedStyle(palette).getPropertyValue(`--${name}`).trim();
const numbers = (text, Type) => new Type(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const dbfs = (value) => (value > 0 ? `${(20 * Math.log10(value)).toFixed(1)} dBFS` : "nothing");

function sheet(canvas) {
  const box = canvas.getBoundingClientRect(), sharp = Math.max(2, devicePixelRatio);
  canvas.width = Math.max(1, Math.round(box.width * sharp));
  canvas.height = Math.max(1, Math.round(box.height * sharp));
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  pen.clearRect(0, 0, box.width, box.height);
  pen.font = "11px system-ui, sans-serif";
  return [pen, box.width, box.height];
}

class Wave {
  constructor(canvas, told, clip) {
    Object.assign(this, {canvas, told, clip, view: [0, clip.wave.length]});
    this.home();
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey && Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.frame(event));
    }, {passive: false});
    canvas.addEventListener("pointerdown", (event) => {
      this.grip = [event.clientX, ...this.view];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.grip && event.buttons) {
        const [x, low, high] = this.grip, moved = (x - event.clientX) / this.inner * (high - low);
        this.show(low + moved, high + moved);
      }
      this.tell(event);
    });
    canvas.addEventListener("pointerup", () => { this.grip = null; });
    canvas.addEventListener("dblclick", () => { this.view = [0, clip.wave.length]; this.draw(); });
  }
  home() {
    const {clip} = this, wing = Math.max(96, Math.min(clip.lasts, 480) * 0.6);
    this.show(clip.at - wing, clip.at + Math.min(clip.lasts, 960) + wing);
  }
  frame(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.view[0] + (event.clientX - box.left - 46) / this.inner * (this.view[1] - this.view[0]);
  }
  zoom(factor, middle = (this.view[0] + this.view[1]) / 2) {
    this.show(middle + (this.view[0] - middle) * factor, middle + (this.view[1] - middle) * factor);
  }
  show(low, high) {
    const all = this.clip.wave.length, width = Math.min(all, Math.max(16, high - low));
    low = Math.min(Math.max(0, low), all - width);
    this.view = [low, low + width];
    this.draw();
  }
  tell(event) {
    const {clip} = this, at = Math.round(this.frame(event));
    if (!(at >= 0 && at < clip.wave.length)) return;
    const rest = clip.rest ? `, residual ${(clip.rest[at] * clip.restScale).toExponential(2)}` : "";
    const value = (clip.wave[at] * clip.waveScale).toFixed(6);
    this.told.textContent = `frame ${(clip.start + at).toLocaleString("en")}: received ${value}${rest}`;
  }
  get inner() { return Math.max(10, this.canvas.getBoundingClientRect().width - 54); }
  draw() {
    const {clip} = this, [low, high] = this.view;
    const [pen, width, height] = sheet(this.canvas);
    if (width < 80) return;
    const left = 46, inner = width - 54, foot = height - 18;
    const x = (frame) => left + (frame - low) / (high - low) * inner;
    const strip = clip.packets.length || clip.holes.length ? 26 : 0, room = foot - strip - 16;
    const panels = [[12, clip.rest ? room * 0.6 : room, this.received]];
    if (clip.rest) panels.push([room * 0.6 + 26, room * 0.4 - 12, this.residual]);
    pen.fillStyle = colour("event");
    pen.globalAlpha = 0.16;
    pen.fillRect(x(clip.at), 0, Math.max(2, x(clip.at + Math.max(1, clip.lasts)) - x(clip.at)), foot);
    pen.globalAlpha = 0.22;
    pen.fillStyle = colour("network");
    for (const [from, to] of clip.holes) pen.fillRect(x(from), 0, Math.max(2, x(to) - x(from)), foot);
    pen.globalAlpha = 1;
    pen.textAlign = "center";
    for (const time of ticks((low - clip.at) / clip.rate * 1e3, (high - clip.at) / clip.rate * 1e3, width / 90)) {
      const place = x(clip.at + time / 1e3 * clip.rate);
      pen.fillStyle = colour("line");
      pen.fillRect(place, 0, 1, foot);
      pen.fillStyle = colour("quiet");
      if (place > left + 10 && place < width - 20) pen.fillText(`${time} ms`, place, height - 5);
    }
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, inner, foot);
    pen.clip();
    for (const [top, tall, paint] of panels) paint.call(this, pen, x, top, tall);
    if (strip) this.packets(pen, x, foot - strip, strip);
    pen.restore();
    for (const [top, tall, , peak] of panels.map((panel, index) => [...panel, index ? this.restPeak : this.peak])) {
      pen.textAlign = "right";
      pen.fillStyle = colour("quiet");
      for (const [value, y] of [[peak, top + 4], [0, top + tall / 2 + 4], [-peak, top + tall + 2]]) {
        pen.fillText(value === 0 ? "0" : value.toPrecision(2), left - 5, y);
      }
    }
    pen.textAlign = "left";
    pen.fillStyle = colour("text");
    pen.fillText(`Received${clip.rest ? " (line) and reference (dashed)" : ""}, channel ${clip.channel}`, left + 4, 10);
    if (clip.rest) pen.fillText(`Residual, up to ${dbfs(this.restPeak)}`, left + 4, room * 0.6 + 24);
  }
  line(pen, x, y, values, scale) {
    const [low, high] = [Math.max(0, Math.floor(this.view[0]) - 1), Math.min(values.length, Math.ceil(this.view[1]) + 2)];
    const each = (high - low) / Math.max(1, this.inner);
    pen.beginPath();
    if (each <= 1.5) {
      for (let at = low; at < high; at++) pen.lineTo(x(at), y(values[at] * scale));
    } else {
      for (let at = low; at < high; at += each) {
        let least = Infinity, most = -Infinity;
        for (let one = Math.floor(at); one < Math.min(high, at + each); one++) {
          least = Math.min(least, values[one]);
          most = Math.max(most, values[one]);
        }
        pen.lineTo(x(at), y(least * scale));
        pen.lineTo(x(at), y(most * scale));
      }
    }
    pen.stroke();
    if (each < 0.12) {
      pen.fillStyle = pen.strokeStyle;
      for (let at = low; at < high; at++) pen.fillRect(x(at) - 1.5, y(values[at] * scale) - 1.5, 3, 3);
    }
  }
  span(values, scale) {
    let peak = 0;
    for (let at = Math.floor(this.view[0]); at < Math.min(values.length, this.view[1]); at++) {
      peak = Math.max(peak, Math.abs(values[at]));
    }
    return peak * scale || 1e-6;
  }
  received(pen, x, top, tall) {
    const {clip} = this;
    this.peak = this.span(clip.wave, clip.waveScale) * 1.05;
    if (clip.ideal) this.peak = Math.max(this.peak, this.span(clip.ideal, 1) * 1.05);
    const y = (value) => top + tall / 2 * (1 - value / this.peak);
    this.rule(pen, top + tall / 2);
    pen.lineWidth = 1.4;
    pen.strokeStyle = colour("wave");
    this.line(pen, x, y, clip.wave, clip.waveScale);
    if (clip.ideal) {
      pen.setLineDash([5, 4]);
      pen.strokeStyle = colour("reference");
      this.line(pen, x, y, clip.ideal, 1);
      pen.setLineDash([]);
    }
  }
  residual(pen, x, top, tall) {
    const {clip} = this;
    this.restPeak = this.span(clip.rest, clip.restScale) * 1.05;
    this.rule(pen, top + tall / 2);
    pen.lineWidth = 1.2;
    pen.strokeStyle = colour("rest");
    this.line(pen, x, (value) => top + tall / 2 * (1 - value / this.restPeak), clip.rest, clip.restScale);
  }
  rule(pen, y) {
    pen.fillStyle = colour("line");
    pen.fillRect(46, y, this.inner, 1);
  }
  packets(pen, x, top, tall) {
    const {clip} = this;
    pen.textAlign = "left";
    for (const [frame, sequence, interval] of clip.packets) {
      const left = x(frame), width = x(frame + clip.packetFrames) - left;
      pen.fillStyle = colour(sequence % 2 ? "wave" : "reference");
      pen.globalAlpha = 0.3;
      pen.fillRect(left, top + 4, Math.max(1, width - 1), tall - 8);
      pen.globalAlpha = 1;
      pen.fillStyle = colour("text");
      if (width > 90) pen.fillText(interval === null ? `${sequence}` : `${sequence}, +${interval} ms`, left + 4, top + 17);
      else if (width > 40) pen.fillText(`${sequence}`, left + 4, top + 17);
    }
    pen.fillStyle = colour("fail");
    for (const [from, to] of clip.holes) {
      pen.fillRect(x(from), top + 4, Math.max(2, x(to) - x(from) - 1), tall - 8);
      if (x(to) - x(from) > 60) {
        pen.fillStyle = colour("card");
        pen.fillText("lost", x(from) + 4, top + 17);
        pen.fillStyle = colour("fail");
      }
    }
  }
}

function spectrum(canvas, clip) {
  const [pen, width, height] = sheet(canvas), left = 40, foot = height - 18, top = 14;
  if (width < 80 || !(clip.before || clip.around)) return;
  const all = [...(clip.before || []), ...(clip.around || [])].map((value) => value / 100);
  const high = Math.min(0, Math.ceil(Math.max(...all) / 20) * 20), low = Math.max(-160, Math.floor(Math.min(...all) / 20) * 20);
  const x = (hz) => left + Math.log(hz / clip.lowHz) / Math.log(clip.highHz / clip.lowHz) * (width - left - 8);
  const y = (level) => top + (high - level) / Math.max(20, high - low) * (foot - top);
  pen.textAlign = "right";
  for (let level = high; level >= low; level -= 20) {
    pen.fillStyle = colour("line");
    pen.fillRect(left, y(level), width - left - 8, 1);
    pen.fillStyle = colour("quiet");
    pen.fillText(`${level}`, left - 4, y(level) + 4);
  }
  pen.textAlign = "center";
  for (const hz of [50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 4e4].filter((one) => one > clip.lowHz && one < clip.highHz)) {
    pen.fillStyle = colour("line");
    pen.fillRect(x(hz), top, 1, foot - top);
    pen.fillStyle = colour("quiet");
    if (/^[15]|^2$/.test(`${hz}`) || width > 420) pen.fillText(hz < 1e3 ? `${hz}` : `${hz / 1e3}k`, x(hz), height - 5);
  }
  let place = left + 4;
  for (const [values, name, about] of [[clip.around, "event", "Spectrum around the event"], [clip.before, "quiet", "before it"]]) {
    if (!values) continue;
    pen.strokeStyle = colour(name);
    pen.lineWidth = 1.3;
    pen.beginPath();
    values.forEach((value, at) => pen.lineTo(x(clip.lowHz * (clip.highHz / clip.lowHz) ** (at / (values.length - 1))), y(value / 100)));
    pen.stroke();
    pen.fillStyle = colour(name);
    pen.textAlign = "left";
    pen.fillText(about, place, 10);
    place += pen.measureText(about).width + 12;
  }
}

const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function shade(part) {
  const at = Math.min(part * (STOPS.length - 1), STOPS.length - 1.0001), from = STOPS[Math.floor(at)], to = STOPS[Math.floor(at) + 1];
  return from.map((value, index) => value + (to[index] - value) * (at % 1));
}

function spectrogram(canvas, clip) {
  const [pen, width, height] = sheet(canvas), left = 40, foot = height - 18, top = 14;
  if (width < 80) return;
  const picture = new OffscreenCanvas(clip.columns, clip.rows), inside = picture.getContext("2d");
  const image = inside.createImageData(clip.columns, clip.rows);
  for (let row = 0; row < clip.rows; row++) {
    for (let column = 0; column < clip.columns; column++) {
      const at = 4 * ((clip.rows - 1 - row) * clip.columns + column);
      image.data.set([...shade(clip.gram[row * clip.columns + column] / 255), 255], at);
    }
  }
  inside.putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(picture, left, top, width - left - 8, foot - top);
  const begin = (clip.gramStart - clip.start - clip.at) / clip.rate, span = clip.gramFrames / clip.rate;
  const x = (time) => left + (time - begin) / span * (width - left - 8);
  pen.fillStyle = colour("event");
  pen.fillRect(x(0) - 1, top, 2, foot - top);
  pen.fillStyle = colour("quiet");
  pen.textAlign = "center";
  for (const time of ticks(begin, begin + span, width / 80)) pen.fillText(`${time} s`, x(time), height - 5);
  pen.textAlign = "right";
  for (const part of [0, 0.5, 1]) pen.fillText(`${(clip.rate / 2000 * part).toFixed(0)}k`, left - 4, foot - part * (foot - top) + 4);
  pen.textAlign = "left";
  pen.fillText(`Spectrogram, ${clip.gramLow} to ${clip.gramHigh} dBFS`, left + 4, 10);
}

const drawn = [];
function open(holder) {
  if (holder.dataset.drawn) return;
  holder.dataset.drawn = "yes";
  const clip = clips[Number(holder.dataset.clip)];
  clip.wave = numbers(clip.wave, Int16Array);
  clip.rest = clip.rest && numbers(clip.rest, Int16Array);
  clip.ideal = clip.rest && Float32Array.from(clip.wave, (value, at) => value * clip.waveScale - clip.rest[at] * clip.restScale);
  for (const name of ["before", "around"]) clip[name] = clip[name] && numbers(clip[name], Int16Array);
  clip.gram = numbers(clip.gram, Uint8Array);
  const [wave, power, gram] = holder.querySelectorAll("canvas"), told = holder.querySelector(".told");
  const view = new Wave(wave, told, clip);
  const draw = () => { view.draw(); spectrum(power, clip); spectrogram(gram, clip); };
  for (const button of holder.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const [factor] = [{in: 0.5, out: 2}[button.dataset.zoom]];
      if (factor) view.zoom(factor, clip.at > view.view[0] && clip.at < view.view[1] ? clip.at : undefined);
      else if (button.dataset.zoom === "all") view.show(0, clip.wave.length);
      else view.home();
    });
  }
  drawn.push(draw);
  draw();
}
function redraw() { for (const draw of drawn) draw(); }
for (const details of document.querySelectorAll("details.event")) {
  const holder = details.querySelector("[data-clip]");
  details.addEventListener("toggle", () => { if (details.open) { open(holder); redraw(); } });
  if (details.open) open(holder);
}
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", unfold);
unfold();
let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("beforeprint", () => { palette = paper; redraw(); });
addEventListener("afterprint", () => { palette = document.documentElement; redraw(); });
