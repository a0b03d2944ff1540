// All benches of a fleet, the worst first, and streams: those of all benches that are not well, or all of one bench.

import { Badge, arrange, make, setText } from "./dom.js";
import { RANKS, WORDS, age, count, counted } from "./format.js";
import { ask } from "./live.js";
import { Overview } from "./overview.js";

const COLUMNS = ["State", "Bench", "Site", "Streams", "Faults", "Lost", "Heard", "Status"];
const NUMBERS = new Set(["Streams", "Faults", "Lost", "Heard"]);
const ASK_MS = 2000;

const total = (bench) => Object.values(bench.streams).reduce((sum, many) => sum + many, 0);
const address = ({ site, bench }) => `/benches/${encodeURIComponent(site)}/${encodeURIComponent(bench)}`;

class Row {
  constructor(bench) {
    const cell = (label, kind, ...children) => make("td", { role: "cell", "data-label": label, class: kind }, ...children);
    this.badge = new Badge();
    this.streams = make("span");
    this.faults = make("span");
    this.lost = make("span");
    this.heard = make("span");
    this.reason = make("span", { class: "reason" });
    this.page = make("a", {}, "its page");
    this.element = make(
      "tr",
      { role: "row" },
      cell("State", "state", this.badge.element),
      make("th", { role: "rowheader", scope: "row", class: "name" }, make("a", { href: `#${address(bench)}` }, bench.bench)),
      cell("Site", "site", bench.site),
      cell("Streams", "number", this.streams),
      cell("Faults", "number", this.faults),
      cell("Lost", "number", this.lost),
      cell("Heard", "number", this.heard),
      cell("Status", "what", this.reason, " ", this.page),
    );
  }

  show(bench, time) {
    this.element.dataset.health = bench.health;
    this.badge.show(bench.health, WORDS[bench.health]);
    setText(this.streams, count(total(bench)));
    setText(this.faults, count(bench.faults));
    setText(this.lost, count(bench.packets_lost));
    setText(this.heard, bench.heard ? age((Date.parse(time) - Date.parse(bench.heard)) / 1000) : "");
    const parts = [bench.reason, ...bench.reasons.filter((reason) => reason !== bench.reason)];
    if (bench.events_waiting) parts.push(`${counted(bench.events_waiting, "event")} not published yet`);
    if (bench.events_lost) parts.push(`${counted(bench.events_lost, "event")} removed before being published`);
    setText(this.reason, parts.join("; "));
    this.page.hidden = !bench.url;
    if (bench.url) this.page.setAttribute("href", bench.url);
  }
}

export class FleetView {
  // `chosen`: site and name of the bench whose streams are shown, or null.
  constructor(live, chosen) {
    this.live = live;
    this.chosen = chosen;
    this.rows = new Map();
    this.lines = null;
    this.body = make("tbody", { role: "rowgroup" });
    const heads = COLUMNS.map((title) =>
      make("th", { role: "columnheader", scope: "col", class: NUMBERS.has(title) ? "number" : title === "Status" ? "what" : "" }, title),
    );
    const head = make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads));
    this.table = make("table", { role: "table", class: "streams benches", "aria-label": "Benches, worst first" }, head, this.body);
    this.frame = make("div", {}, this.table);
    this.headline = make("h1", { class: "headline" });
    this.headlineBadge = new Badge();
    this.below = make("h2", { class: "headline" });
    this.streams = new Overview({ state: null });
    this.element = make(
      "section",
      { class: "fleet" },
      make("div", { class: "toolbar" }, make("div", { class: "headline-line" }, this.headlineBadge.element, this.headline)),
      this.frame,
      make("div", { class: "toolbar" }, this.below),
      this.streams.element,
    );
    this.narrow = matchMedia("(max-width: 52rem)");
    this.onNarrow = () => this.frame.classList.toggle("wall", this.narrow.matches);
    this.narrow.addEventListener("change", this.onNarrow);
    this.onNarrow();
    this.asking = null;
    if (chosen) {
      this.#ask();
      this.asking = setInterval(() => this.#ask(), ASK_MS);
    }
    if (live.state) this.show(live.state);
  }

  get title() {
    return this.chosen ? this.chosen.bench : "";
  }

  close() {
    clearInterval(this.asking);
    this.narrow.removeEventListener("change", this.onNarrow);
    this.streams.close();
  }

  events() {}

  reset() {}

  show(state) {
    const shown = state.benches.map((bench) => {
      const key = address(bench);
      if (!this.rows.has(key)) this.rows.set(key, new Row(bench));
      const row = this.rows.get(key);
      row.show(bench, state.time);
      return row.element;
    });
    arrange(this.body, shown);
    this.table.hidden = shown.length === 0;
    this.#sayHeadline(state.benches);
    if (this.chosen) {
      const { site, bench } = this.chosen;
      setText(this.below, `Streams of ${bench}, ${site}`);
    } else {
      setText(this.below, state.streams.length ? "Streams that are not well" : "");
      this.lines = state.streams;
    }
    this.#showStreams();
  }

  #showStreams() {
    const lines = this.lines ?? [];
    this.streams.element.hidden = lines.length === 0;
    const state = { streams: lines };
    this.streams.live.state = state;
    this.streams.show(state);
  }

  async #ask() {
    try {
      const { site, bench } = this.chosen;
      this.lines = (await ask(`/api/fleet/${encodeURIComponent(site)}/${encodeURIComponent(bench)}`)).lines;
      this.#showStreams();
    } catch (error) {
      setText(this.below, String(error.message ?? error));
    }
  }

  #sayHeadline(benches) {
    const number = (health) => benches.filter((bench) => bench.health === health).length;
    const worst = RANKS.find((health) => number(health) > 0) ?? "waiting";
    const parts = [
      [number("down"), "down"],
      [number("fault"), "with a fault"],
      [number("unjudged"), "not verified"],
    ].filter(([many]) => many > 0);
    const streams = benches.reduce((sum, bench) => sum + total(bench), 0);
    const all = `${count(benches.length)} ${benches.length === 1 ? "bench" : "benches"}, ${counted(streams, "stream")}`;
    const text =
      benches.length === 0
        ? "No bench has published yet"
        : `${all}: ${parts.map(([many, what]) => `${many} ${what}`).join(", ") || "no current fault"}`;
    this.headlineBadge.show(worst, "");
    setText(this.headline, text);
  }
}
