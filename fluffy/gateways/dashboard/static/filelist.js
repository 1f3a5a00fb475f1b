// A list of any length: only the lines that can be seen are elements. Works with arrows, Home, End, Enter, Space, Delete.
import { h, icon } from "./dom.js";
import { ago, count, size, time } from "./format.js";

const LINE = 46;
const BEYOND = 8;

/**
 * `actions`: {open(entry), details(entry), remove(entries), needMore(), selected(entries)}.
 * `set(entries, total)` gives it all that is loaded so far, of how many.
 */
export function fileList(actions) {
  const state = { entries: [], total: 0, at: 0, chosen: new Set(), lines: new Map(), first: 0 };
  const filler = h("div", { class: "list-filler", role: "presentation" });
  const view = h("div", { class: "list-view", role: "listbox", "aria-label": "Files and folders", "aria-multiselectable": "true", tabindex: "0" }, filler);
  const draw = () => drawLines(state, view, filler, actions);
  let planned = false;
  const plan = () => { if (!planned) { planned = true; requestAnimationFrame(() => { planned = false; draw(); }); } };
  view.addEventListener("scroll", plan, { passive: true });
  new ResizeObserver(plan).observe(view);
  view.addEventListener("keydown", (event) => onKey(event, state, view, actions, draw));
  view.addEventListener("click", (event) => onClick(event, state, view, actions, draw));
  view.addEventListener("dblclick", (event) => {
    const entry = state.entries[Number(event.target.closest("[data-index]")?.dataset.index)];
    if (entry) actions.open(entry);
  });
  return {
    node: view,
    set(entries, total) {
      state.entries = entries;
      state.total = total;
      state.at = Math.min(state.at, Math.max(0, entries.length - 1));
      const there = new Set(entries.map((entry) => entry.path));
      for (const path of state.chosen) if (!there.has(path)) state.chosen.delete(path);
      for (const [, line] of state.lines) line.node.remove();
      state.lines.clear();
      view.setAttribute("aria-label", `Files and folders, ${count(Math.max(total, entries.length))}`);
      draw();
    },
    more(entries, total) { state.entries = entries; state.total = total; plan(); },
    top() { view.scrollTop = 0; state.at = 0; },
    chosen: () => state.entries.filter((entry) => state.chosen.has(entry.path)),
    clear() { state.chosen.clear(); actions.selected([]); draw(); },
  };
}

function drawLines(state, view, filler, actions) {
  filler.style.height = `${state.entries.length * LINE}px`;
  const first = Math.max(0, Math.floor(view.scrollTop / LINE) - BEYOND);
  const last = Math.min(state.entries.length, Math.ceil((view.scrollTop + view.clientHeight) / LINE) + BEYOND);
  for (const [index, line] of state.lines) {
    if (index < first || index >= last) { line.node.remove(); state.lines.delete(index); }
  }
  for (let index = first; index < last; index += 1) {
    const entry = state.entries[index];
    let line = state.lines.get(index);
    if (line && line.entry !== entry) { line.node.remove(); line = null; }
    if (!line) {
      line = makeLine(entry, index, state);
      state.lines.set(index, line);
      const after = [...state.lines.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
      view.insertBefore(line.node, after === undefined ? null : state.lines.get(after).node);
    }
    line.update(state);
  }
  const at = state.lines.get(state.at);
  if (at) view.setAttribute("aria-activedescendant", at.node.id);
  else view.removeAttribute("aria-activedescendant");
  if (state.entries.length < state.total && last > state.entries.length - 60) actions.needMore();
}

let lists = 0;

function makeLine(entry, index, state) {
  const isFolder = entry.kind !== "file";
  const mark = h("span", { class: "check", "aria-hidden": "true" }, icon("check", 13));
  const node = h("div", { class: "list-line", role: "option", id: `line-${lists += 1}`, data: { index } },
    mark, h("span", { class: `list-icon${isFolder ? " is-folder" : ""}` }, icon(isFolder ? "folder" : entry.content_type?.startsWith("image/") ? "image" : "file", 20)),
    h("span", { class: "list-name clip" }, entry.name), h("span", { class: "list-owner muted clip" }, entry.owner ?? ""),
    h("span", { class: "list-size muted" }, isFolder ? "" : size(entry.size)),
    h("span", { class: "list-time muted", title: time(entry.modified) }, ago(entry.modified)));
  node.style.transform = `translateY(${index * LINE}px)`;
  node.setAttribute("aria-setsize", String(state.total || state.entries.length));
  node.setAttribute("aria-posinset", String(index + 1));
  return { node, entry, update(now) {
    const isChosen = now.chosen.has(entry.path);
    node.classList.toggle("is-chosen", isChosen);
    node.classList.toggle("is-at", index === now.at);
    node.setAttribute("aria-selected", String(isChosen));
  } };
}

function onClick(event, state, view, actions, draw) {
  const line = event.target.closest("[data-index]");
  if (!line) return;
  const index = Number(line.dataset.index), entry = state.entries[index];
  if (event.shiftKey) chooseSpan(state, state.at, index);
  else if (event.target.closest(".check") || event.ctrlKey || event.metaKey) toggle(state, entry);
  else if (event.target.closest(".list-name, .list-icon") || matchMedia("(pointer: coarse)").matches) { actions.open(entry); }
  state.at = index;
  actions.selected(state.entries.filter((one) => state.chosen.has(one.path)));
  draw();
}

function toggle(state, entry) { if (!state.chosen.delete(entry.path)) state.chosen.add(entry.path); }

function chooseSpan(state, from, to) {
  for (let index = Math.min(from, to); index <= Math.max(from, to); index += 1) state.chosen.add(state.entries[index].path);
}

function onKey(event, state, view, actions, draw) {
  const page = Math.max(1, Math.floor(view.clientHeight / LINE) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  const entry = state.entries[state.at];
  if (event.key in steps) {
    const to = Math.max(0, Math.min(state.entries.length - 1, state.at + steps[event.key]));
    if (event.shiftKey) chooseSpan(state, state.at, to);
    state.at = to;
    const top = to * LINE;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + LINE > view.scrollTop + view.clientHeight) view.scrollTop = top + LINE - view.clientHeight;
  } else if (event.key === "Enter" && entry) actions.open(entry);
  else if (event.key === " " && entry) toggle(state, entry);
  else if (event.key === "Delete" && entry) actions.remove(state.chosen.size ? state.entries.filter((one) => state.chosen.has(one.path)) : [entry]);
  else if (event.key === "Backspace") actions.up();
  else if (event.key === "i" && entry) actions.details(entry);
  else if ((event.ctrlKey || event.metaKey) && event.key === "a") for (const one of state.entries) state.chosen.add(one.path);
  else return;
  event.preventDefault();
  actions.selected(state.entries.filter((one) => state.chosen.has(one.path)));
  draw();
}
