// The list of uploads at the edge of the files page.
import { h, icon, keyed, say } from "./dom.js";
import { rate, several, size, span } from "./format.js";
import { clearOver, onTransfers, transfers } from "./uploads.js";
import { bar, iconButton } from "./ui.js";

let number = 0;

export function transferPanel() {
  const title = h("h2", { class: "card-title" }), lines = h("div", { class: "transfer-lines" });
  const clear = h("button", { class: "btn btn-sm btn-quiet", type: "button", on: { click: clearOver } }, "Clear what is done");
  const node = h("section", { class: "card-box transfers", "aria-label": "Uploads", hidden: true }, h("div", { class: "page-head" }, title, clear), lines);
  const end = onTransfers(() => {
    node.hidden = transfers.length === 0;
    const going = transfers.filter((one) => ["running", "waiting"].includes(one.state));
    const pace = going.reduce((sum, one) => sum + (one.state === "running" ? one.rate : 0), 0);
    say(title, going.length ? `${several(going.length, "upload")} · ${rate(pace)}` : "Uploads");
    clear.hidden = !transfers.some((one) => one.isOver);
    const shown = [...transfers.filter((one) => !one.isOver), ...transfers.filter((one) => one.isOver).slice(-20).reverse()].slice(0, 60);
    keyed(lines, shown, (one) => (one.number ??= number += 1), line);
  });
  return { node, end };
}

function line(first) {
  const name = first.path.split("/").at(-1);
  const progress = bar(`upload of ${name}`), text = h("p", { class: "muted small" });
  const pause = iconButton("pause", `Pause ${name}`, () => first.pause());
  const go = iconButton("play", `Go on with ${name}`, () => first.go());
  const stop = iconButton("close", `End the upload of ${name}`, () => first.end());
  const node = h("article", { class: "transfer" }, icon("file", 20),
    h("div", { class: "transfer-text" }, h("p", { class: "clip", title: first.path }, name), progress.node, text), h("div", { class: "transfer-acts" }, pause, go, stop));
  return { node, update(one) {
    progress.set(one.size ? (100 * one.sent) / one.size : one.state === "done" ? 100 : 0, { done: "good", failed: "bad", paused: "warn" }[one.state] ?? (one.waitsFor ? "warn" : ""));
    const amount = `${size(one.sent)} of ${size(one.size)}`;
    say(text, {
      waiting: `waiting · ${size(one.size)}`, running: one.waitsFor ? `${one.waitsFor} · trying again` : `${amount}${one.rate ? ` · ${rate(one.rate)}` : ""}${one.secondsLeft > 1 ? ` · ${span(one.secondsLeft)} left` : ""}${one.resumed ? ` · went on at ${size(one.resumed)}` : ""}`,
      paused: `paused at ${amount}`, failed: `${one.error} · ${amount}`, done: `done · ${size(one.size)}`, ended: "ended",
    }[one.state]);
    pause.hidden = !["running", "waiting"].includes(one.state);
    go.hidden = !["paused", "failed"].includes(one.state);
    stop.hidden = one.isOver;
    node.dataset.state = one.state;
  } };
}
