// Elements, made and changed no more than needed.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(health) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${health}`);
  svg.append(use);
  return svg;
}

// A state as word and icon: never colour alone.
export class Badge {
  constructor() {
    this.icon = icon("waiting");
    this.word = document.createTextNode("");
    this.element = make("span", { class: "badge" }, this.icon, this.word);
  }

  show(health, word) {
    if (this.health === health) return;
    this.health = health;
    this.element.dataset.health = health;
    this.icon.firstChild.setAttribute("href", `#icon-${health}`);
    this.word.data = word;
  }
}

// Children in this order, moving as few as may be; what has the focus keeps it.
export function arrange(parent, children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let moved = false;
  children.forEach((child, index) => {
    if (parent.children[index] !== child) {
      parent.insertBefore(child, parent.children[index] ?? null);
      moved = true;
    }
  });
  while (parent.children.length > children.length) parent.lastChild.remove();
  if (moved && focused && document.contains(focused) && document.activeElement !== focused) {
    focused.focus({ preventScroll: true });
  }
}
