// Where things are: zones and nodes, their chunks, who leads, which jobs run where, and jobs that move when they are stolen.
import { fill, h, s, say } from "./dom.js";
import { count, size } from "./format.js";
import { nodeState } from "./health.js";
import { onLive } from "./live.js";
import { card } from "./ui.js";

const WIDTH = 1000;
const NODE = { width: 184, height: 118 };
const DOTS = 10;

export function show(place) {
  const stage = h("div", { class: "stage", tabindex: "0", role: "region", "aria-label": "Picture of the nodes" }), words = h("ul", { class: "plain-list" });
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Topology"), h("p", { class: "muted small legend" },
    h("span", {}, h("i", { class: "key key-lead" }), "log, from the leader"), h("span", {}, h("i", { class: "key key-lease" }), "job that runs"), h("span", {}, h("i", { class: "key key-wait" }), "job that waits"))),
  h("section", { class: "card-box" }, stage), card("In words", words));
  let picture = null;
  return onLive((state) => {
    if (!state.status) return;
    const shape = JSON.stringify(state.status.nodes.map((node) => [node.name, node.zone]));
    if (picture?.shape !== shape) { picture = draw(state.status.nodes, shape); fill(stage, picture.node); }
    picture.update(state);
    fillWords(words, state);
  });
}

/** Zones side by side; their nodes below each other. */
function places(nodes) {
  const zones = [...new Set(nodes.map((node) => node.zone))].sort();
  const column = WIDTH / zones.length;
  const rows = Math.max(...zones.map((zone) => nodes.filter((node) => node.zone === zone).length));
  const at = new Map();
  zones.forEach((zone, index) => nodes.filter((node) => node.zone === zone).forEach((node, row) =>
    at.set(node.name, { x: column * (index + 0.5), y: 170 + row * (NODE.height + 46) + (index % 2) * 22 })));
  return { zones, column, at, height: 170 + rows * (NODE.height + 46) + 6 };
}

function draw(nodes, shape) {
  const { zones, column, at, height } = places(nodes);
  const links = s("g"), moving = s("g"), boxes = s("g");
  const zoneBoxes = zones.map((zone, index) => s("g", {}, s("rect", { class: "zone", x: index * column + 12, y: 12, width: column - 24, height: height - 24, rx: 18 }),
    s("text", { class: "zone-name", x: (index + 0.5) * column, y: height - 34, "text-anchor": "middle" }, `zone ${zone}`)));
  const parts = new Map(nodes.map((node) => [node.name, nodeBox(node.name, at.get(node.name))]));
  for (const part of parts.values()) boxes.append(part.node);
  const node = s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "topology", role: "img", "aria-label": "The nodes in their zones; the same in words below" }, ...zoneBoxes, links, boxes, moving);
  let lastLinks = "", lastSteal = "";
  return { node, shape, update(state) {
    const { status, jobs } = state;
    const most = Math.max(1, ...status.nodes.map((one) => one.bytes));
    for (const one of status.nodes) parts.get(one.name)?.update(one, jobs?.queues.find((queue) => queue.node === one.name), most);
    const wanted = JSON.stringify([status.leader, status.nodes.map((one) => one.connected)]);
    if (wanted !== lastLinks) { lastLinks = wanted; links.replaceChildren(...linesFrom(status, at)); }
    const [steal] = state.steals;
    if (steal && steal.at !== lastSteal) {
      if (lastSteal || Date.now() - new Date(steal.at) < 3000) for (const from of steal.from) fly(moving, at.get(from), at.get(steal.node), Math.min(6, steal.count));
      lastSteal = steal.at;
    }
  } };
}

function linesFrom(status, at) {
  const from = at.get(status.leader);
  if (!from) return [];
  return status.nodes.filter((node) => node.name !== status.leader).map((node) => {
    const to = at.get(node.name);
    const bend = Math.min(from.y, to.y) - NODE.height / 2 - 40 - Math.abs(from.x - to.x) / 14;
    return s("path", { class: `link${nodeState(node)[1] === "bad" ? " is-cut" : ""}`, d: `M${from.x} ${from.y - NODE.height / 2}C${from.x} ${bend} ${to.x} ${bend} ${to.x} ${to.y - NODE.height / 2}` });
  });
}

function nodeBox(name, { x, y }) {
  const left = x - NODE.width / 2, top = y - NODE.height / 2;
  const box = s("rect", { class: "node-box", x: left, y: top, width: NODE.width, height: NODE.height, rx: 14 });
  const dot = s("circle", { class: "node-dot", cx: left + 20, cy: top + 24, r: 6 });
  const lead = s("text", { class: "node-lead", x: left + NODE.width - 16, y: top + 29, "text-anchor": "end" });
  const held = s("text", { class: "node-held", x: left + 16, y: top + 56 });
  const full = s("rect", { class: "node-full", x: left + 16, y: top + 68, width: 0, height: 7, rx: 3.5 });
  const dots = s("g");
  const node = s("g", {}, box, dot, s("text", { class: "node-name", x: left + 36, y: top + 30 }, name), lead, held,
    s("rect", { class: "node-room", x: left + 16, y: top + 68, width: NODE.width - 32, height: 7, rx: 3.5 }), full, dots);
  for (let index = 0; index < DOTS; index += 1) dots.append(s("circle", { cx: left + 21 + index * 15.8, cy: top + 96, r: 5, class: "job-dot" }));
  return { node, update(one, queue, most) {
    dot.setAttribute("class", `node-dot is-${nodeState(one)[1]}`);
    box.setAttribute("class", `node-box is-${nodeState(one)[1]}`);
    say(lead, one.leader ? "leads" : nodeState(one)[0]);
    say(held, `${count(one.chunks)} chunks · ${size(one.bytes)}`);
    full.setAttribute("width", String(((NODE.width - 32) * one.bytes) / most));
    const leased = queue?.leased ?? 0, waiting = queue?.queued ?? 0;
    [...dots.children].forEach((circle, index) => circle.setAttribute("class", `job-dot${index < leased ? " is-leased" : index < leased + waiting ? " is-waiting" : ""}`));
  } };
}

/** Stolen jobs fly from the victim to the thief. */
function fly(layer, from, to, number) {
  if (!from || !to || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (let index = 0; index < number; index += 1) {
    const dot = s("circle", { class: "flying", r: 6, cx: 0, cy: 0 });
    layer.append(dot);
    const path = [{ transform: `translate(${from.x}px, ${from.y + 37}px)` }, { transform: `translate(${(from.x + to.x) / 2}px, ${Math.max(from.y, to.y) + 80}px)` }, { transform: `translate(${to.x}px, ${to.y + 37}px)` }];
    dot.animate(path, { duration: 1400, delay: index * 140, easing: "ease-in-out", fill: "both" }).finished.then(() => dot.remove(), () => dot.remove());
  }
}

function fillWords(list, { status, jobs }) {
  const lines = status.nodes.map((node) => {
    const queue = jobs?.queues.find((one) => one.node === node.name);
    return `${node.name} (zone ${node.zone}) is ${nodeState(node)[0]}${node.leader ? " and leads" : ""}; it has ${count(node.chunks)} chunks, ${size(node.bytes)}${queue && (queue.leased || queue.queued) ? `; ${queue.leased} jobs run, ${queue.queued} wait` : ""}.`;
  });
  while (list.childElementCount > lines.length) list.lastElementChild.remove();
  while (list.childElementCount < lines.length) list.append(h("li"));
  lines.forEach((line, index) => say(list.children[index], line));
}
