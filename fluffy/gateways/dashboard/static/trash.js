// What was deleted and is still kept.
import { del, get, post, query } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { ago, several, size, span } from "./format.js";
import { ask, attempt, button, confirm, empty, row, table, textInput } from "./ui.js";

const PAGE = 200;

export function showTrash(place) {
  const list = h("div", { class: "stack" });
  let items = [];
  const load = async (after) => {
    try {
      const page = await get(`/v1/trash${query({ limit: PAGE, after })}`);
      items = after ? [...items, ...page.items] : page.items;
      draw(list, items, page.after, load);
    } catch (error) { fill(list, h("p", { class: "problem" }, error.message)); }
  };
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Trash"), h("div", { class: "actions" },
    h("a", { class: "btn btn-quiet", href: "#/files" }, icon("folder"), "Files"),
    button("Empty the trash", async () => {
      const sure = await confirm("Empty the trash?", [h("p", {}, "All that you may change in it is gone for good, and its room is free.")], { verb: "Empty it", kind: "danger" });
      if (sure && await attempt(() => del("/v1/trash"), (told) => `${several(told.purged, "entry", "entries")} purged.`)) await load();
    }, { kind: "danger", mark: "trash" }))), h("section", { class: "card-box" }, list));
  load();
  return null;
}

function draw(list, items, after, load) {
  if (!items.length) { fill(list, empty("trash", "The trash is empty", "What is deleted stays here for the days that its bucket says.")); return; }
  const undelete = async (item) => {
    if (await attempt(() => post("/v1/undelete", { path: item.path, item: item.item }), `${item.path} is back.`)) await load();
  };
  const elsewhere = async (item) => {
    const told = await ask("Bring it back to another place", { target: ["Path", textInput({ value: item.path, required: true })] }, { verb: "Bring it back" });
    if (told && await attempt(() => post("/v1/undelete", { path: item.path, item: item.item, target: told.target }), `It is at ${told.target}.`)) await load();
  };
  fill(list, table("Deleted files", ["Path", "Size", "Deleted", "Kept for", ""], items.map((item) => row(
    h("span", { class: "with-icon" }, icon(item.kind === "file" ? "file" : "folder"), h("span", {}, item.path)),
    item.kind === "file" ? size(item.size) : `${several(item.files, "file")}, ${size(item.size)}`, ago(item.deleted),
    span(Math.max(0, (new Date(item.expires) - Date.now()) / 1000)),
    h("div", { class: "actions" }, button("Bring back", () => undelete(item), { small: true, title: `Bring back ${item.path}` }),
      button("Elsewhere …", () => elsewhere(item), { small: true, title: `Bring back ${item.path} to another place` }))))),
  after ? h("div", { class: "actions" }, h("p", { class: "muted small" }, `The ${items.length} newest are shown.`), button("Older ones", () => load(after))) : null);
}
