// Puts the page together: the connection, the view that the address asks for, and what is said of everything.

import { make, setText } from "./dom.js";
import { FleetView } from "./fleet.js";
import { RANKS, WORDS, counted, kindName } from "./format.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";
import { StreamView } from "./stream.js";

const ANNOUNCE_MS = 3000;
const BEHIND_SECONDS = 1;

const find = (id) => document.getElementById(id);
const main = find("main");
const live = new Live();
let view = null;
let isFleet = false;

function open() {
  const [, name] = location.hash.match(/^#\/streams\/([^/]+)$/) ?? [];
  const first = view === null;
  view?.close();
  if (isFleet) view = new FleetView(live, chosenBench());
  else view = name ? new StreamView(live, decodeURIComponent(name)) : new Overview(live);
  main.replaceChildren(view.element);
  if (!first) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  showTitle();
}

function chosenBench() {
  const [, site, bench] = location.hash.match(/^#\/benches\/([^/]+)\/([^/]+)$/) ?? [];
  return bench ? { site: decodeURIComponent(site), bench: decodeURIComponent(bench) } : null;
}

// How many streams are in each state: a fleet counts them for each bench.
function tally({ benches, streams }) {
  const number = (health) =>
    benches
      ? benches.reduce((sum, bench) => sum + bench.streams[health], 0)
      : streams.filter((line) => line.health === health).length;
  return new Map(RANKS.map((health) => [health, number(health)]));
}

function showTitle() {
  const numbers = tally(live.state ?? { streams: [] });
  const bad = numbers.get("fault") + numbers.get("down");
  const all = [...numbers.values()].reduce((sum, number) => sum + number, 0);
  const parts = [bad ? `✕ ${bad} of ${all}` : "", view.title, "rtpverify"];
  document.title = parts.filter(Boolean).join(" – ");
  const icon = bad ? "/page/icon-fault.svg" : "/page/icon.svg";
  if (find("icon").getAttribute("href") !== icon) find("icon").setAttribute("href", icon);
}

function showSummary(state) {
  const summary = find("summary");
  const numbers = tally(state);
  RANKS.forEach((health, index) => {
    const number = numbers.get(health);
    const chip = summary.children[index] ?? summary.appendChild(make("span", { "data-health": health }));
    chip.hidden = number === 0;
    setText(chip, `${number} ${WORDS[health]}`);
  });
}

// A host that does not keep up must not be taken for a network that loses packets; a sink that fails is no secret.
function showHost({ behind_seconds: behind, receive_buffer_dropped: dropped, sinks }) {
  const parts = [];
  if (behind > BEHIND_SECONDS) parts.push(`This host lags by ${behind.toFixed(1)} s: it receives more than it can verify.`);
  if (dropped) parts.push(`This host lost ${counted(dropped, "packet")} after the network had delivered them.`);
  sinks.filter(({ trouble }) => trouble).forEach(({ name, trouble, waiting }) => {
    parts.push(`${name}: ${trouble}${waiting ? `; ${counted(waiting, "event")} waiting` : ""}.`);
  });
  find("host").hidden = parts.length === 0;
  if (parts.length) setText(find("host"), parts.join(" "));
}

function showConnection() {
  const stale = live.staleSeconds;
  const state = live.connected ? "live" : live.lastHeard === null ? "connecting" : "lost";
  document.documentElement.dataset.connection = state;
  setText(find("connection-text"), { live: "Live", connecting: "Connecting", lost: "Not connected" }[state]);
  find("stale").hidden = stale === null;
  if (stale !== null) {
    setText(find("stale"), `No data from the daemon for ${Math.round(stale)} s: the values shown are outdated.`);
  }
}

// Faults are told to a screen reader, never faster than it can speak.
const untold = [];
let telling = null;

function announce(events) {
  untold.push(...events.filter((event) => event.fault && event.open !== false));
  untold.push(...events.filter((event) => event.fault && event.open === false && event.duration_frames === 0));
  telling ??= setTimeout(() => {
    telling = null;
    const [first, ...rest] = untold.splice(0);
    if (!first) return;
    const more = rest.length ? `, and ${counted(rest.length, "more event")}` : "";
    setText(find("announcer"), `${first.stream}: ${kindName(first.kind)}. ${first.message}${more}`);
  }, ANNOUNCE_MS);
}

live.addEventListener("hello", ({ detail }) => {
  setText(find("version"), `rtpverify ${detail.version}`);
  if ((detail.shows === "fleet") === isFleet) return;
  isFleet = !isFleet;
  find("metrics").setAttribute("href", isFleet ? "/api/sd" : "/metrics");
  setText(find("metrics"), isFleet ? "Targets" : "Metrics");
  find("api").setAttribute("href", isFleet ? "/api/fleet" : "/api/openapi.json");
  open();
});
live.addEventListener("state", ({ detail }) => {
  view.show(detail);
  showSummary(detail);
  showHost(detail.host);
  showTitle();
});
live.addEventListener("events", ({ detail }) => {
  view.events(detail);
  announce(detail.events);
});
live.addEventListener("reset", () => view.reset());
live.addEventListener("connection", showConnection);
addEventListener("hashchange", open);
addEventListener("keydown", (event) => {
  const writing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "Escape" && !writing && location.hash.length > 2) location.hash = "#/";
});
open();
