// One stream in depth: what it carries now, laid over what it should be, and what became of it.

import { Badge, arrange, make, setText } from "./dom.js";
import { NONE, WORDS, age, clock, count, counted, duration, exponent, fixed, kindName, percent, signed } from "./format.js";
import { ask } from "./live.js";
import * as pictures from "./pictures.js";
import { Plot } from "./plot.js";

const SPANS = [
  [0.002, "2 ms"],
  [0.005, "5 ms"],
  [0.01, "10 ms"],
  [0.05, "50 ms"],
  [0.2, "200 ms"],
  [1, "1 s"],
];
const SCOPE_MS = 250;
const CALM_SCOPE_MS = 2000;
const DETAILS_MS = 1000;
const MOST_EVENTS = 200;
// A fault is looked at once what follows it is in the rings, and before it has left them.
const CATCH_MS = 400;
const KEPT_MS = 1500;
// The recorder waits for what follows an event.
const EVIDENCE_MS = 5000;
const HISTORY_POINTS = 1200;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

function segments(label, choices, chosen, onChoose) {
  const buttons = choices.map(([value, text]) => {
    const button = make("button", { type: "button", "aria-pressed": String(value === chosen) }, text);
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      onChoose(value);
    });
    return button;
  });
  return make("div", { class: "segments", role: "group", "aria-label": label }, ...buttons);
}

function offset(value) {
  if (value === null || value === undefined) return NONE;
  return Math.abs(value) < 1e-10 ? "< 1e−10" : exponent(value);
}

export class StreamView {
  constructor(live, name) {
    this.live = live;
    this.name = name;
    this.path = `/api/streams/${encodeURIComponent(name)}`;
    this.channel = 1;
    this.channels = 0;
    this.span = 0.01;
    this.frozen = false;
    this.caught = null;
    this.atFault = false;
    this.eventsById = new Map();
    this.eventRows = new Map();
    this.history = null;
    this.result = null;
    this.ranges = { wave: new pictures.Range(0.001), residual: new pictures.Range(1), lost: new pictures.Range(1), jitter: new pictures.Range(1e-6) };
    this.stopping = new AbortController();
    this.#build();
    this.#run(() => this.#scope(), () => (calm.matches ? CALM_SCOPE_MS : SCOPE_MS));
    this.#run(() => this.#details(), () => DETAILS_MS);
    this.#loadEvents();
    if (live.state) this.show(live.state);
  }

  get title() {
    return this.name;
  }

  close() {
    this.stopping.abort();
    clearTimeout(this.catching);
    clearTimeout(this.asking);
    Object.values(this.plots).forEach((plot) => plot.close());
  }

  show(state) {
    const line = state.streams.find((other) => other.name === this.name);
    this.line = line;
    this.element.classList.toggle("gone", !line);
    if (!line) {
      setText(this.reason, "This stream is not monitored: it is not in the configuration.");
      return;
    }
    this.badge.show(line.health, WORDS[line.health]);
    this.element.dataset.health = line.health;
    this.element.classList.toggle("transport", line.judged === "transport");
    this.element.classList.toggle("recording", line.reference === "recording");
    setText(this.reason, line.reason);
    const shown = line.last_fault && line.health !== "fault";
    setText(this.ago, shown ? `Last fault: ${kindName(line.last_fault.kind)}, ${age(line.quiet_seconds)}.` : "");
  }

  events({ events, left_out: leftOut }) {
    const ours = events.filter((event) => event.stream === this.name);
    if (ours.length) this.#takeEvents(ours);
    if (leftOut) this.#loadEvents();
    if (ours.length) {
      this.lastEvent = performance.now();
      this.#askForEvidence();
    }
    const fault = ours.findLast((event) => event.fault && !this.seenFaults.has(event.id));
    ours.forEach((event) => this.seenFaults.add(event.id));
    if (fault) this.#catch(fault);
  }

  reset() {
    this.#loadEvents();
  }

  // Again and again until there was time to record the last event.
  #askForEvidence() {
    this.asking ??= setTimeout(() => {
      this.asking = null;
      this.#loadEvents();
      if (performance.now() - this.lastEvent < 0.9 * EVIDENCE_MS) this.#askForEvidence();
    }, EVIDENCE_MS);
  }

  // Building ----------------------------------------------------------------------------------------------------------

  #build() {
    this.seenFaults = new Set();
    this.badge = new Badge();
    this.reason = make("p", { class: "reason" });
    this.ago = make("p", { class: "ago" });
    this.facts = make("p", { class: "facts" });
    this.warnings = make("ul", { class: "warnings" });
    this.figures = make("dl", { class: "figures" });
    this.legBody = make("tbody");
    const legHeads = ["Leg", "Path", "Received", "Lost", "Late, reordered, duplicated", "Skew", "Maximum skew"];
    this.legs = make(
      "section",
      { "aria-label": "Legs", class: "by-leg", hidden: true },
      make("h2", {}, "Legs"),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Legs" }, make(
        "table",
        { class: "legs" },
        make("caption", { class: "unseen" }, "Packets per leg"),
        make("thead", {}, make("tr", {}, ...legHeads.map((head) => make("th", { scope: "col" }, head)))),
        this.legBody,
      )),
    );
    this.channelPicker = make("div", { hidden: true });
    this.line = null;
    this.freeze = make("button", { type: "button", "aria-pressed": "false" }, "Freeze");
    this.freeze.addEventListener("click", () => this.#setFrozen(!this.frozen));
    this.modes = segments("Signal shown", [[false, "Live"], [true, "Last fault"]], false, (atFault) => {
      this.atFault = atFault;
      this.#drawScope();
    });
    this.modes.lastChild.disabled = true;
    this.about = make("p", { class: "about", "aria-live": "off" });
    const spans = segments("Time shown", SPANS, this.span, (span) => {
      this.span = span;
      if (this.caught) this.#catch(this.caught.event, 0);
      this.#scope().catch(() => {});
    });
    this.plots = {
      wave: new Plot("Waveform and reference", { height: 250, wide: true }),
      residual: new Plot("Residual", { height: 170, wide: true }),
      spectrum: new Plot("Spectrum", { height: 230 }),
      phase: new Plot("Phase", { height: 230 }),
      levels: new Plot("Level and residual", { height: 190 }),
      lost: new Plot("Packets lost", { height: 190 }),
      jitter: new Plot("Jitter", { height: 190 }),
    };
    this.plots.spectrum.element.classList.add("spectrum");
    this.plots.phase.element.classList.add("of-tone");
    this.eventBody = make("tbody");
    this.eventNote = make("p", { class: "note" });
    const heads = ["Time", "Kind", "Channel", "Cause", "Message", "Evidence"];
    const eventTable = make(
      "table",
      { class: "events" },
      make("caption", { class: "unseen" }, `Events of ${this.name}, latest first`),
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      this.eventBody,
    );
    this.element = make(
      "article",
      { class: "stream" },
      make("nav", { "aria-label": "Back" }, make("a", { class: "back", href: "#/" }, "← All streams")),
      make(
        "div",
        { class: "title" },
        make("h1", {}, this.name),
        this.badge.element,
        make("div", { class: "why" }, this.reason, this.ago),
      ),
      this.facts,
      this.warnings,
      make("div", { class: "toolbar signal" }, this.channelPicker, this.modes, spans, this.freeze),
      this.figures,
      this.legs,
      make("section", { "aria-label": "Signal", class: "signal" }, this.about, make("div", { class: "plots" }, this.plots.wave.element, this.plots.residual.element, this.plots.spectrum.element, this.plots.phase.element)),
      make("section", { "aria-label": "The last ten minutes" }, make("div", { class: "plots three" }, this.plots.levels.element, this.plots.lost.element, this.plots.jitter.element)),
      make("section", { "aria-label": "Events" }, make("h2", {}, "Events"), this.eventNote, make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Events" }, eventTable)),
    );
  }

  #setFrozen(frozen) {
    this.frozen = frozen;
    this.freeze.setAttribute("aria-pressed", String(frozen));
    setText(this.freeze, frozen ? "Frozen" : "Freeze");
    this.#drawScope();
  }

  // Asking ------------------------------------------------------------------------------------------------------------

  // Ask again and again, never before the answer before is there, and only while somebody looks.
  async #run(step, pause) {
    const signal = this.stopping.signal;
    while (!signal.aborted) {
      if (!document.hidden) await step().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, pause()));
    }
  }

  async #scope() {
    if (this.frozen || this.atFault || !this.line) return;
    if (this.line.followed.length === 0) {
      this.scope = null;
      this.scopeError = "no audio available yet";
      this.#drawScope();
      return;
    }
    try {
      this.scope = await ask(`${this.path}/scope?channel=${this.channel}&span=${this.span}`, this.stopping.signal);
      this.scopeError = null;
    } catch (error) {
      if (this.stopping.signal.aborted) return;
      this.scope = null;
      this.scopeError = error.message;
    }
    this.#drawScope();
  }

  async #details() {
    if (!this.line) return;
    const since = this.history?.time.at(-1) ?? 0;
    const [details, history] = await Promise.all([
      ask(this.path, this.stopping.signal),
      ask(`${this.path}/history?since=${since}`, this.stopping.signal),
    ]);
    this.#takeHistory(history);
    this.result = details.result;
    this.#setChannels(details.result?.channels ?? details.present.length);
    this.#showFacts(details);
    this.#showFigures(details);
    if (!this.frozen) this.#drawHistory();
  }

  async #loadEvents() {
    try {
      const { events } = await ask(`/api/events?stream=${encodeURIComponent(this.name)}&limit=${MOST_EVENTS}`, this.stopping.signal);
      const latest = events.find((event) => event.fault);
      const now = Date.parse(this.live.state?.time ?? 0);
      if (latest?.time && !this.caught && now - Date.parse(latest.time) < KEPT_MS) this.#catch(latest);
      events.forEach((event) => this.seenFaults.add(event.id));
      this.#takeEvents(events.reverse());
    } catch (error) {
      if (!this.stopping.signal.aborted) setText(this.eventNote, `Events could not be read: ${error.message}`);
    }
  }

  // Keep the frames around a fault while the daemon still has them.
  #catch(event, wait = CATCH_MS) {
    clearTimeout(this.catching);
    const channel = event.channel ?? this.channel;
    this.catching = setTimeout(async () => {
      // By now it is known whether the stream has audio.
      if (!this.line || this.line.followed.length === 0) return;
      try {
        const path = `${this.path}/scope?channel=${channel}&span=${this.span}&frame=${event.start_frame}`;
        const scope = await ask(path, this.stopping.signal);
        if (scope.low.every((value) => value === null)) return;
        this.caught = { event, scope };
        this.modes.lastChild.disabled = false;
        if (this.atFault) this.#drawScope();
      } catch {
        // The stream has gone, or its frames have: the evidence of the event is what is left.
      }
    }, wait);
  }

  // Showing -----------------------------------------------------------------------------------------------------------

  #drawScope() {
    const atFault = this.atFault && this.caught !== null;
    const scope = atFault ? this.caught.scope : this.scope;
    const { event } = this.caught ?? {};
    const text = atFault
      ? `Frozen at ${kindName(event.kind)}, ${clock(event.time)}, frame ${count(event.start_frame)}, channel ${scope.channel}. The reference is the one before the event.`
      : this.frozen
        ? "Frozen."
        : "";
    setText(this.about, text);
    this.about.hidden = !text;
    if (!scope) {
      const x = { min: 0, max: 0.01, format: () => "" };
      const picture = { x, y: { min: -1, max: 1, format: () => "" }, layers: [], empty: this.scopeError ?? "" };
      for (const plot of [this.plots.wave, this.plots.residual, this.plots.spectrum]) plot.draw(picture);
      return;
    }
    this.plots.wave.draw(pictures.waveform(scope, this.ranges.wave, atFault));
    this.plots.residual.draw(pictures.residual(scope, this.ranges.residual));
    this.plots.spectrum.draw(pictures.spectrum(scope));
  }

  #drawHistory() {
    const events = [...this.eventsById.values()];
    this.plots.phase.draw(pictures.phase(this.history, this.channel, events, this.scope?.reference_hz));
    this.plots.levels.draw(pictures.levels(this.history, this.channel, events));
    this.plots.lost.draw(pictures.losses(this.history, events, this.ranges.lost));
    this.plots.jitter.draw(pictures.jitter(this.history, this.ranges.jitter));
  }

  #takeHistory(news) {
    if (!this.history || this.history.channels.length !== news.channels.length) {
      if (this.history && news.time.length === 0) return;
      this.history = news;
      return;
    }
    const append = (list, more) => {
      list.push(...more);
      list.splice(0, Math.max(0, list.length - HISTORY_POINTS));
    };
    for (const name of ["time", "packets_expected", "packets_lost", "jitter_seconds"]) append(this.history[name], news[name]);
    news.channels.forEach((channel, index) => {
      for (const name of ["level_dbfs", "residual_dbfs", "phase_degrees"]) append(this.history.channels[index][name], channel[name]);
    });
  }

  #setChannels(channels) {
    if (channels === this.channels || channels === 0) return;
    this.channels = channels;
    this.channel = Math.min(this.channel, channels);
    const label = (index) => this.result?.signal[index]?.label;
    const choices = Array.from({ length: channels }, (_, index) => [index + 1, label(index) ? `${index + 1} ${label(index)}` : `Channel ${index + 1}`]);
    const picker = segments("Channel", choices, this.channel, (channel) => {
      this.channel = channel;
      this.#scope().catch(() => {});
      if (this.history) this.#drawHistory();
      if (this.latest) this.#showFigures(this.latest);
    });
    picker.hidden = channels < 2;
    this.channelPicker.replaceWith(picker);
    this.channelPicker = picker;
  }

  #showFacts({ result }) {
    if (!result) {
      setText(this.facts, "No packet received yet.");
      return;
    }
    const form = result.encoding ? `${result.encoding}/${result.sample_rate}/${result.channels}` : "encoding unknown";
    const parts = [form, `payload type ${result.payload_type}`, `${duration(result.packet_time_seconds)} packets`, `${result.sender} → ${result.destination}`, `SSRC ${result.ssrc}`];
    setText(this.facts, parts.join(" · "));
    const shown = result.warnings.map((text) => make("li", {}, text));
    if (shown.map((item) => item.textContent).join() !== [...this.warnings.children].map((item) => item.textContent).join()) arrange(this.warnings, shown);
    this.warnings.hidden = shown.length === 0;
    this.#showLegs(result.legs);
  }

  #showLegs(legs) {
    this.legs.hidden = legs.length === 0;
    if (this.legBody.children.length !== legs.length) {
      this.legBody.replaceChildren(...legs.map(() => make("tr", {}, make("th", { scope: "row" }), ...Array.from({ length: 6 }, () => make("td")))));
    }
    legs.forEach((leg, index) => {
      const path = `${leg.sender ?? NONE} → ${leg.destination ?? NONE}${leg.ssrc === null ? "" : `, SSRC ${leg.ssrc}`}`;
      const cells = [
        String(index + 1),
        path,
        `${count(leg.packets_received)} of ${count(leg.packets_expected)}`,
        count(leg.packets_lost),
        `${count(leg.packets_late)}, ${count(leg.packets_reordered)}, ${count(leg.packets_duplicated)}`,
        duration(leg.skew_seconds),
        duration(leg.max_skew_seconds),
      ];
      cells.forEach((text, cell) => setText(this.legBody.children[index].children[cell], text));
    });
  }

  #showFigures(details) {
    this.latest = details;
    const now = details.present[this.channel - 1];
    const wire = details.result?.transport;
    // A recording has none of these.
    const ofTone = [
      ["THD+N", now && fixed(now.thd_plus_n_db, 1), "dB"],
      ["THD", now && fixed(now.thd_db, 1), "dB"],
      ["Frequency", now && fixed(now.frequency_hz, 4), "Hz"],
    ];
    const figures = [
      ["Level", now && fixed(now.level_dbfs, 3), "dBFS"],
      ["Residual", now && fixed(now.residual_dbfs, 1), "dBFS"],
      ...(details.reference === "recording" ? [] : ofTone),
      ["Frequency error", now && signed(now.frequency_error_ppm, 3), "ppm"],
      ["DC offset", now && offset(now.dc_offset), "of FS"],
      ["Bits", now && (now.effective_bits === null ? NONE : String(now.effective_bits)), ""],
      ["Lost", wire && `${count(wire.packets_lost)} of ${count(wire.packets_expected)}`, ""],
      ["Current loss", percent(details.loss_ratio), ""],
      ["Jitter", duration(details.jitter_seconds), ""],
      ["Delay factor", wire && duration(wire.tsdf_seconds), ""],
      ["Sender's clock", wire && signed(wire.clock_drift_ppm, 1), "ppm"],
      ["Late, reordered, duplicated", wire && `${count(wire.packets_late)}, ${count(wire.packets_reordered)}, ${count(wire.packets_duplicated)}`, ""],
      ["Faults since start", count(details.faults), ""],
    ];
    if (this.figures.children.length !== figures.length) {
      this.figures.replaceChildren(...figures.map(([name]) => make("div", {}, make("dt", {}, name), make("dd", {}))));
    }
    figures.forEach(([, value, unit], index) => {
      const known = value ?? NONE;
      setText(this.figures.children[index].lastChild, unit && known !== NONE ? `${known} ${unit}` : known);
    });
  }

  #takeEvents(events) {
    for (const event of events) {
      const known = this.eventsById.get(event.id);
      this.eventsById.set(event.id, { evidence: known?.evidence, ...event });
    }
    const time = (event) => (event.time ? Date.parse(event.time) : 0);
    const latest = [...this.eventsById.values()].sort((one, other) => time(other) - time(one) || other.start_frame - one.start_frame);
    latest.splice(MOST_EVENTS).forEach((event) => {
      this.eventsById.delete(event.id);
      this.eventRows.delete(event.id);
    });
    arrange(this.eventBody, latest.flatMap((event) => this.#eventRow(event)));
    setText(this.eventNote, latest.length === 0 ? "No event." : latest.length === MOST_EVENTS ? `The latest ${counted(MOST_EVENTS, "event")}.` : "");
    this.eventNote.hidden = this.eventNote.textContent === "";
  }

  #eventRow(event) {
    const text = JSON.stringify(event);
    const row = this.eventRows.get(event.id);
    if (row?.text === text) return row.elements;
    const element = row?.elements[0] ?? make("tr", {});
    element.dataset.cause = event.cause;
    element.classList.toggle("open", event.open);
    element.replaceChildren(
      make("td", { class: "time" }, make("time", { datetime: event.time }, clock(event.time)), make("small", {}, ` frame ${count(event.start_frame)}`)),
      make("th", { scope: "row" }, kindName(event.kind), event.open ? make("small", { class: "going-on" }, " ongoing") : null, event.fault ? null : make("small", {}, " no fault")),
      make("td", {}, event.channel === null ? "all" : String(event.channel)),
      make("td", { class: "cause" }, make("i", { "aria-hidden": "true" }), event.cause),
      make("td", { class: "message" }, event.message),
      make("td", { class: "evidence" }, ...this.#evidence(event)),
    );
    const elements = [element, ...(row?.elements.slice(1) ?? [])];
    this.eventRows.set(event.id, { text, elements });
    return elements;
  }

  #evidence(event) {
    const path = `/api/events/${event.id}/evidence`;
    const files = event.evidence ?? [];
    const links = files.map(({ name, title, size }) =>
      make("a", { href: `${path}/${name}`, target: "_blank", rel: "noopener", title: `${name}, ${count(size)} bytes` }, title),
    );
    if (files.some(({ name }) => name === "plot.svg")) {
      const open = this.eventRows.get(event.id)?.elements.length > 1;
      const button = make("button", { type: "button", "aria-expanded": String(open) }, "Show");
      button.addEventListener("click", () => this.#toggleEvidence(event, button));
      links.unshift(button);
    }
    return links.length ? links : [NONE];
  }

  // The picture and the sound of an event, in a row below its own.
  #toggleEvidence(event, button) {
    const row = this.eventRows.get(event.id);
    const open = row.elements.length === 1;
    button.setAttribute("aria-expanded", String(open));
    row.elements.splice(1).forEach((element) => element.remove());
    if (!open) return;
    const path = `/api/events/${event.id}/evidence`;
    const name = `${kindName(event.kind)} at ${clock(event.time)}`;
    const picture = make("img", { src: `${path}/plot.svg`, alt: `Waveform, residual and arrivals around the ${name}. ${event.message}` });
    const hasAudio = event.evidence.some((file) => file.name === "audio.wav");
    const audio = hasAudio ? make("audio", { controls: true, preload: "none", src: `${path}/audio.wav`, "aria-label": `Audio around the ${name}` }) : null;
    const shown = make("tr", { class: "shown" }, make("td", { colspan: "6" }, audio, picture));
    row.elements.push(shown);
    row.elements[0].after(shown);
  }
}
