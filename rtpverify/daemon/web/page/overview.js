// All streams at a glance, the worst first.

import { Badge, arrange, make, setText } from "./dom.js";
import { NONE, RANKS, WORDS, age, count, counted, duration, fixed, greatest, kindName, percent } from "./format.js";

const COLUMNS = ["State", "Stream", "Level", "Residual", "Lost", "Jitter", "Faults", "Status"];
const UNITS = { Level: "dBFS", Residual: "dBFS", Lost: "packets", Jitter: "", Faults: "" };
const FLOOR_DBFS = -60;
const MOST_METERS = 8;

class Row {
  constructor(name) {
    const cell = (label, kind, ...children) => make("td", { role: "cell", "data-label": label, class: kind }, ...children);
    this.badge = new Badge();
    this.link = make("a", { href: `#/streams/${encodeURIComponent(name)}`, title: name }, name);
    this.meters = make("span", { class: "meters", "aria-hidden": "true" });
    this.level = make("span");
    this.residual = make("span");
    this.lost = make("span");
    this.recentLoss = make("small");
    this.jitter = make("span");
    this.faults = make("span");
    this.reason = make("span", { class: "reason" });
    this.ago = make("small");
    this.lostCell = cell("Lost", "number", this.recentLoss, this.lost);
    this.element = make(
      "tr",
      { role: "row" },
      cell("State", "state", this.badge.element),
      make("th", { role: "rowheader", scope: "row", class: "name" }, this.link),
      cell("Level", "number level", this.meters, this.level),
      cell("Residual", "number", this.residual),
      this.lostCell,
      cell("Jitter", "number jitter", this.jitter),
      cell("Faults", "number faults", this.faults),
      cell("Status", "what", this.ago, this.reason),
    );
  }

  show(line) {
    this.element.dataset.health = line.health;
    if (line.href !== undefined) line.href ? this.link.setAttribute("href", line.href) : this.link.removeAttribute("href");
    this.badge.show(line.health, WORDS[line.health]);
    const down = line.health === "down" || line.health === "waiting";
    const silent = !down && line.followed.length > 0 && greatest(line.level_dbfs) === null;
    setText(this.level, down ? NONE : silent ? "silent" : fixed(greatest(line.level_dbfs), 2));
    this.#showMeters(down ? [] : line.level_dbfs);
    setText(this.residual, down ? NONE : fixed(greatest(line.residual_dbfs), 1));
    setText(this.lost, line.health === "waiting" ? NONE : count(line.packets_lost));
    this.lostCell.classList.toggle("none", !line.packets_lost);
    setText(this.recentLoss, line.loss_ratio ? `${percent(line.loss_ratio)} now ` : "");
    setText(this.jitter, down ? NONE : duration(line.jitter_seconds));
    setText(this.faults, count(line.faults));
    setText(this.reason, line.reason);
    setText(this.ago, line.last_fault ? `${kindName(line.last_fault.kind)} ${line.quiet_seconds === 0 ? "now" : age(line.quiet_seconds)}: ` : "");
    this.ago.hidden = !line.last_fault || !["fault", "recent"].includes(line.health);
  }

  #showMeters(levels) {
    const shown = levels.slice(0, MOST_METERS);
    while (this.meters.children.length < shown.length) this.meters.append(make("i", {}, make("b")));
    while (this.meters.children.length > shown.length) this.meters.lastChild.remove();
    shown.forEach((level, index) => {
      const part = level === null ? 0 : Math.min(1, Math.max(0, 1 - level / FLOOR_DBFS));
      this.meters.children[index].firstChild.style.transform = `scaleX(${part.toFixed(2)})`;
    });
  }
}

export class Overview {
  constructor(live) {
    this.live = live;
    this.rows = new Map();
    this.body = make("tbody", { role: "rowgroup" });
    const heads = COLUMNS.map((title) =>
      make(
        "th",
        { role: "columnheader", scope: "col", class: title in UNITS ? "number" : title === "Status" ? "what" : "" },
        title,
        UNITS[title] ? make("small", {}, ` ${UNITS[title]}`) : null,
      ),
    );
    const head = make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads));
    this.table = make("table", { role: "table", class: "streams", "aria-label": "Streams, worst first" }, head, this.body);
    this.empty = make("p", { class: "empty", hidden: true }, "No stream matches.");
    this.filter = make("input", { type: "search", id: "filter", autocomplete: "off", placeholder: "Name" });
    this.views = ["Table", "Wall"].map((name) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, name);
      button.addEventListener("click", () => this.#choose(name));
      return button;
    });
    this.headline = make("h1", { class: "headline" });
    this.headlineBadge = new Badge();
    this.element = make(
      "section",
      { class: "overview" },
      make(
        "div",
        { class: "toolbar" },
        make("div", { class: "headline-line" }, this.headlineBadge.element, this.headline),
        make("div", { class: "segments", role: "group", "aria-label": "View" }, ...this.views),
        make("label", { for: "filter", class: "filter" }, "Filter", this.filter),
      ),
      this.table,
      this.empty,
    );
    this.narrow = matchMedia("(max-width: 52rem)");
    this.onNarrow = () => this.#applyView();
    this.narrow.addEventListener("change", this.onNarrow);
    this.filter.addEventListener("input", () => this.live.state && this.show(this.live.state));
    this.body.addEventListener("keydown", (event) => this.#move(event));
    this.#applyView();
    if (live.state) this.show(live.state);
  }

  get title() {
    return "";
  }

  close() {
    this.narrow.removeEventListener("change", this.onNarrow);
  }

  events() {}

  reset() {}

  show(state) {
    const wanted = this.filter.value.trim().toLowerCase();
    const lines = state.streams.filter((line) => line.name.toLowerCase().includes(wanted));
    const rank = new Map(RANKS.map((health, index) => [health, index]));
    lines.sort(
      (one, other) =>
        rank.get(one.health) - rank.get(other.health) ||
        one.name.localeCompare(other.name, "en", { numeric: true }),
    );
    const shown = lines.map((line) => {
      if (!this.rows.has(line.name)) this.rows.set(line.name, new Row(line.name));
      const row = this.rows.get(line.name);
      row.show(line);
      return row.element;
    });
    arrange(this.body, shown);
    this.empty.hidden = lines.length > 0;
    this.table.hidden = lines.length === 0;
    this.element.classList.toggle("few", state.streams.length <= 8);
    this.#sayHeadline(state.streams);
  }

  #sayHeadline(lines) {
    const number = (health) => lines.filter((line) => line.health === health).length;
    const worst = RANKS.find((health) => number(health) > 0) ?? "waiting";
    const parts = [
      [number("down"), number("down") === 1 ? "is down" : "are down"],
      [number("fault"), number("fault") === 1 ? "has a fault" : "have a fault"],
      [number("unjudged"), "not verified"],
    ].filter(([many]) => many > 0);
    let text;
    if (lines.length === 0) text = "No stream is configured";
    else if (parts.length) text = `${parts.map(([many, what]) => `${many} ${what}`).join(", ")}, of ${counted(lines.length, "stream")}`;
    else if (number("waiting") === lines.length) text = `Waiting for ${counted(lines.length, "stream")}`;
    else {
      const come = lines.filter((line) => line.health !== "waiting");
      const alone = come.filter((line) => line.judged === "transport").length;
      const which = come.length < lines.length ? `${count(come.length)} of ${counted(lines.length, "stream")}` : lines.length === 1 ? "The stream is" : `All ${counted(lines.length, "stream")}`;
      const how = alone === 0 ? "" : alone === come.length ? " (transport only)" : ` (${count(alone)} of them transport only)`;
      text = `${which} verified${how}, no current fault`;
    }
    this.headlineBadge.show(worst, "");
    setText(this.headline, text);
  }

  #choose(name) {
    localStorage.setItem("view", name);
    this.#applyView();
  }

  #applyView() {
    const chosen = localStorage.getItem("view") ?? "Table";
    this.views.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === chosen)));
    this.element.classList.toggle("wall", chosen === "Wall" || this.narrow.matches);
  }

  #move(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    const links = [...this.body.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    links[Math.min(links.length - 1, Math.max(0, at + steps[event.key]))].focus();
  }
}
