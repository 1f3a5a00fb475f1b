// Dialogs, messages, small parts that every page uses.
import { fill, h, icon } from "./dom.js";

const TOAST_MS = 6000;
// Where there is a leader, everything but an upload is done long before.
const SLOW_MS = 2500;

/** A short message at the edge. `kind`: done, note or problem. */
export function toast(text, kind = "done") {
  const mark = { done: "check", note: "clock", problem: "warning" }[kind];
  const close = h("button", { class: "btn-plain", type: "button", "aria-label": "Close this message" }, icon("close", 16));
  const node = h("div", { class: `toast-line toast-${kind}` }, icon(mark), h("span", {}, text), close);
  const gone = () => node.remove();
  close.addEventListener("click", gone);
  raiseToasts().append(node);
  setTimeout(gone, kind === "problem" ? TOAST_MS * 2 : TOAST_MS);
}

/** Messages lie in the topmost dialog: below one they could be neither seen nor read aloud. */
function raiseToasts() {
  const toasts = document.getElementById("toasts"), top = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (toasts.parentElement !== top) top.append(toasts);
  return toasts;
}

/** Do something, say when it failed. Gives undefined then. */
export async function attempt(act, done) {
  const slow = setTimeout(() => toast("The cluster takes its time; still trying …", "note"), SLOW_MS);
  try {
    const value = await act();
    if (done) toast(typeof done === "function" ? done(value) : done);
    return value ?? true;
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "problem");
    return undefined;
  } finally {
    clearTimeout(slow);
  }
}

/** A button. `kind`: primary, quiet, danger. */
export function button(text, onClick, { kind = "quiet", mark, title, disabled, type = "button", small } = {}) {
  const look = { primary: "btn-primary", quiet: "btn-quiet", danger: "btn-outline-danger" }[kind];
  return h("button", {
    class: `btn ${look}${small ? " btn-sm" : ""}`, type, title, disabled, on: onClick ? { click: onClick } : {},
  }, mark ? icon(mark, small ? 15 : 17) : null, text ? h("span", {}, text) : null);
}

export function iconButton(mark, label, onClick, extra = {}) {
  return h("button", { class: "btn-plain", type: "button", "aria-label": label, title: label, on: { click: onClick }, ...extra },
    icon(mark));
}

let dialogs = 0;

/** A dialog with a title; closes with Escape. `build(close)` gives its content. The promise gives what `close` got. */
export function dialog(title, build, { wide, drawer } = {}) {
  return new Promise((resolve) => {
    const id = `dialog-${dialogs += 1}`;
    let result;
    const box = h("dialog", { class: `box${wide ? " box-wide" : ""}${drawer ? " box-drawer" : ""}`, "aria-labelledby": id });
    const close = (value) => { result = value; box.close(); };
    box.append(
      h("header", { class: "box-head" }, h("h2", { id, title }, title), iconButton("close", "Close", () => close(undefined))),
      h("div", { class: "box-body" }, build(close, box)));
    box.addEventListener("close", () => { box.dispatchEvent(new Event("gone")); raiseToasts(); box.remove(); resolve(result); });
    // A press outside closes it; text that is chosen with the mouse up to there does not.
    let isOutside = false;
    box.addEventListener("pointerdown", (event) => { isOutside = event.target === box; });
    box.addEventListener("click", (event) => { if (isOutside && event.target === box) close(undefined); });
    document.body.append(box);
    box.showModal();
  });
}

/** Ask before something is done. `facts`: lines or nodes under the question. Gives true or false. */
export async function confirm(title, facts, { verb = "Do it", kind = "primary", wait } = {}) {
  const answer = await dialog(title, (close) => {
    const lines = h("div", { class: "stack" });
    fill(lines, facts);
    const go = button(verb, () => close(true), { kind, disabled: Boolean(wait) }), cancel = button("Cancel", () => close(false));
    // Enter at once does what is harmless, and never what could not be read yet.
    (wait || kind === "danger" ? cancel : go).autofocus = true;
    if (wait) {
      const hold = h("p", { class: "muted waiting" }, "Asking the doctor …");
      lines.append(hold);
      wait.then((more) => { hold.remove(); lines.append(...[more].flat()); go.disabled = false; },
        (error) => { hold.textContent = `The doctor could not be asked: ${error.message}`; go.disabled = false; });
    }
    return [lines, h("div", { class: "actions end" }, cancel, go)];
  });
  return answer === true;
}

let fields = 0;

/** A labelled input; `input` is any form control. */
export function field(label, input, hint) {
  const id = `field-${fields += 1}`;
  input.id = id;
  const help = hint ? h("small", { class: "muted", id: `${id}-hint` }, hint) : null;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, help);
}

export function textInput(props = {}) { return h("input", { class: "form-control", type: "text", autocomplete: "off", spellcheck: "false", ...props }); }

export function passwordInput(props = {}) { return textInput({ type: "password", autocomplete: "new-password", ...props }); }

export function choice(options, value) {
  return h("select", { class: "form-select" },
    options.map(([key, label]) => h("option", { value: key, selected: key === value }, label)));
}

/** A form in a dialog: `parts` are {name: [label, input, hint]}. Gives the values, or undefined. */
export function ask(title, parts, { verb = "Save", kind = "primary", intro } = {}) {
  Object.values(parts)[0][1].autofocus = true;
  return dialog(title, (close) => h("form", {
    class: "stack", on: { submit: (event) => {
      event.preventDefault();
      close(Object.fromEntries(Object.entries(parts).map(([name, [, input]]) =>
        [name, input.type === "checkbox" ? input.checked : input.value])));
    } },
  }, intro ? h("p", {}, intro) : null,
  Object.values(parts).map(([label, input, hint]) => field(label, input, hint)),
  h("div", { class: "actions end" }, button("Cancel", () => close(undefined)), button(verb, null, { kind, type: "submit" }))));
}

/** Show a secret once, with a button that copies it. */
export function showOnce(title, intro, lines) {
  return dialog(title, (close) => [h("p", {}, intro),
    lines.map(([label, value]) => field(label, h("div", { class: "copy-line" },
      h("input", { class: "form-control mono", readonly: true, value, "aria-label": label }), copyButton(value)))),
    h("div", { class: "actions end" }, button("Done", () => close(true), { kind: "primary" }))]);
}

export function copyButton(value) {
  return button("Copy", async (event) => {
    const input = event.currentTarget.parentElement.querySelector("input");
    try { await navigator.clipboard.writeText(value); toast("Copied."); } catch { input?.select(); document.execCommand("copy"); }
  }, { small: true });
}

export function badge(text, kind = "plain") { return h("span", { class: `pill pill-${kind}` }, text); }

/** A bar that says how full something is. */
export function bar(label) {
  const inner = h("div", { class: "bar-fill" });
  const node = h("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, inner);
  return { node, set(value, kind = "") {
    const rounded = Math.max(0, Math.min(100, Math.round(value)));
    inner.style.width = `${rounded}%`;
    inner.className = `bar-fill ${kind}`;
    node.setAttribute("aria-valuenow", String(rounded));
  } };
}

export function empty(mark, title, text) {
  return h("div", { class: "empty" }, icon(mark, 34), h("p", { class: "empty-title" }, title), text ? h("p", { class: "muted" }, text) : null);
}

export function card(title, ...children) {
  return h("section", { class: "card-box" }, title ? h("h2", { class: "card-title" }, title) : null, children);
}

// Never broken into two lines.
const SHORT = new Set(["Size", "Changed", "Deleted", "Kept for", "Made", "Ends", "When", "Fresh as of", "Limit", "Role"]);

/** On a phone each row is a block of lines that say what they are; the roles keep it a table for those who listen. */
export function table(caption, heads, rows, { wrap = true } = {}) {
  const body = h("tbody", { role: "rowgroup" }, rows);
  for (const line of body.rows) {
    line.setAttribute("role", "row");
    [...line.cells].forEach((cell, index) => {
      cell.setAttribute("role", "cell");
      cell.dataset.label = heads[index] ?? "";
      cell.classList.toggle("short", SHORT.has(heads[index]));
    });
  }
  const node = h("table", { class: "lines", role: "table" }, h("caption", { class: "visually-hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((text) => h("th", { scope: "col", role: "columnheader" }, text)))), body);
  return wrap ? h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": caption }, node) : node;
}

export function row(...cells) { return h("tr", {}, cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : h("td", {}, cell)))); }

// The address after # names pages, so the link that skips the menu moves the focus itself.
document.querySelector(".skip")?.addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main")?.focus(); });
