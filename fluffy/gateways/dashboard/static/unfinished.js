// Uploads into a folder that were begun and never finished: the page was closed, or the machine.
import { Away, Refused, del, get, query } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { size, time } from "./format.js";
import { attempt, button, card, confirm } from "./ui.js";
import { resumable, transfers } from "./uploads.js";

const SHOWN = 20;

/** `load()` asks for them; those on their way in this page are not among them. */
export function unfinishedPart(path) {
  const lines = h("div", { class: "transfer-lines" });
  const node = card("Not finished", lines);
  node.setAttribute("aria-label", "Not finished");
  node.hidden = true;
  const load = async () => {
    if (!path) return;
    try {
      const told = await get(`/v1/uploads${query({ path: `/${path}`, limit: SHOWN })}`);
      const here = new Set(transfers.map((one) => one.id)), known = resumable();
      const left = told.uploads.filter((one) => !here.has(one.id));
      fill(lines, left.map((one) => line(one, path, known.has(one.id), load)));
      node.hidden = !left.length;
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Away)) throw error;
      node.hidden = true;  // who may not write here began nothing; what else is wrong, the list of files says
    }
  };
  return { node, load };
}

function line(one, path, isKnown, again) {
  const name = one.path.slice(path.length + 2);
  const end = button("End", async () => {
    if (!await confirm(`End the upload of ${name}?`, [h("p", {}, "What has been sent of it is thrown away.")], { verb: "End it", kind: "danger" })) return;
    if (await attempt(() => del(`/v1/uploads/${one.id}`), "It is ended.")) await again();
  }, { small: true, kind: "danger", title: `End the unfinished upload of ${name}` });
  return h("article", { class: "transfer" }, icon("clock", 20), h("div", { class: "transfer-text" }, h("p", { class: "clip", title: one.path }, name),
    h("p", { class: "muted small" }, `${size(one.stored_bytes)}${one.size === null ? "" : ` of ${size(one.size)}`} are here, until ${time(one.expires)}. ${
      isKnown ? "Choose or drop the same file here, and it goes on." : "It goes on where it was begun: in another browser or program."}`)),
  h("div", { class: "transfer-acts" }, end));
}
