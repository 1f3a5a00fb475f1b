// Making elements. Text is always a text node: whatever a name holds, it is never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: `class`, `on` (listeners), `data`, properties such as `value`, everything else attributes. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(node, name, value);
  node.append(...flat(children));
  return node;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "indeterminate", "open"]);

function set(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (PROPERTIES.has(name)) node[name] = false;
    return;
  }
  if (name === "class") node.className = value;
  else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
  else if (name === "data") Object.assign(node.dataset, value);
  else if (PROPERTIES.has(name)) node[name] = value;
  else node.setAttribute(name, value === true ? "" : String(value));
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/** An SVG element. */
export function s(tag, props = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) {
    if (value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...flat(children));
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

/** Set a text only where it is another one: nothing flickers, and screen readers are not disturbed. */
export function say(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
  return node;
}

/** Keep one child for each item, by key. `make(item)` gives {node, update(item)}. Focus and animations survive. */
export function keyed(container, items, keyOf, make) {
  const known = container.keyedParts ??= new Map();
  const wanted = new Set();
  let at = container.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let part = known.get(key);
    if (!part) known.set(key, part = make(item));
    part.update(item);
    if (part.node === at) at = at.nextElementSibling;
    else container.insertBefore(part.node, at);
  }
  for (const [key, part] of known) {
    if (!wanted.has(key)) { part.node.remove(); known.delete(key); }
  }
}

const ICONS = {
  home: "M3 11 12 4l9 7M5 10v10h5v-6h4v6h5V10",
  server: "M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01M12 7h5M12 17h5",
  folder: "M3 6h6l2 2h10v11H3z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  image: "M4 4h16v16H4zM4 16l5-5 5 5 2-2 4 4M15 8.5h.01",
  jobs: "M4 7h10M4 12h16M4 17h7M17 5v4M15 15v4",
  topology: "M12 4.5v5M7 17l3.5-5M17 17l-3.5-5M10 3h4v3h-4zM10 9.5h4v3h-4zM4 17h4v3.500H4zM16 17h4v3.500h-4z",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c.5-4 3-6 6.500-6s6 2 6.500 6M16 4.500a3.500 3.500 0 0 1 0 6M18.500 14.500c1.800 1 2.700 2.800 3 5.500",
  shield: "M12 3l8 3v6c0 5-3.500 8-8 9-4.500-1-8-4-8-9V6zM9 12l2 2 4-4",
  upload: "M12 16V5M7.500 9.500 12 5l4.500 4.500M4 16v4h16v-4",
  download: "M12 4v11M7.500 10.500 12 15l4.500-4.500M4 16v4h16v-4",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500 21 21",
  check: "M5 12.500l4.500 4.500L19 7.500",
  warning: "M12 3 2 20h20zM12 9.500v5M12 17.300h.01",
  close: "M6 6l12 12M18 6 6 18",
  moon: "M20 14.500A8 8 0 0 1 9.500 4 8 8 0 1 0 20 14.500z",
  menu: "M4 7h16M4 12h16M4 17h16",
  tag: "M4 4h8l8 8-8 8-8-8zM8 8h.01",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.500 2",
  link: "M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-5.700-5.700l-1.500 1.500M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 5.700 5.700l1.500-1.500",
  plus: "M12 5v14M5 12h14",
  pause: "M8 5v14M16 5v14",
  play: "M7 4l13 8-13 8z",
  leave: "M14 4H5v16h9M10 12h11M17 8l4 4-4 4",
  bolt: "M13 3 5 14h6l-1 7 8-11h-6z",
  up: "M12 19V5M6 11l6-6 6 6",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  disk: "M4 13h16v7H4zM4 13l3-9h10l3 9M8 16.500h.01",
};

/** A picture beside words; the words say what it means. */
export function icon(name, size = 18) {
  return s("svg", { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", class: "icon" },
    s("path", { d: ICONS[name] ?? ICONS.file }));
}
