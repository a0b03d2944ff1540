// The connection: events at once, state four times a second, and whether what is shown can still be trusted.

const STALE_MS = 2500;

export class Live extends EventTarget {
  constructor() {
    super();
    this.state = null;
    this.lastHeard = null;
    this.source = new EventSource(here("/api/live"));
    this.source.addEventListener("hello", (message) => this.#say("hello", message));
    this.source.addEventListener("state", (message) => {
      this.state = this.#say("state", message);
    });
    this.source.addEventListener("events", (message) => this.#say("events", message));
    this.source.addEventListener("reset", (message) => this.#say("reset", message));
    this.source.addEventListener("error", () => this.dispatchEvent(new CustomEvent("connection")));
    setInterval(() => this.dispatchEvent(new CustomEvent("connection")), 500);
  }

  // Seconds since anything was heard, where that is too long; else null.
  get staleSeconds() {
    if (this.lastHeard === null) return null;
    const silent = performance.now() - this.lastHeard;
    return silent > STALE_MS ? silent / 1000 : null;
  }

  get connected() {
    return this.lastHeard !== null && this.source.readyState === EventSource.OPEN && this.staleSeconds === null;
  }

  #say(name, message) {
    const detail = JSON.parse(message.data);
    this.lastHeard = performance.now();
    if (name === "state") this.state = detail;
    this.dispatchEvent(new CustomEvent(name, { detail }));
    this.dispatchEvent(new CustomEvent("connection"));
    return detail;
  }
}

// An address that stands with a user and password is none that a script may ask for.
function here(path) {
  return new URL(path, location.origin);
}

export async function ask(path, signal) {
  const answer = await fetch(here(path), { signal });
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.detail ?? answer.statusText);
  return document;
}
