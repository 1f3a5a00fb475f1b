// All about one file, in a panel at the side: preview, facts, tags, versions, copies, a link for others.
import { del, encodePath, get, post, put, query } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { ago, count, listed, several, size, time } from "./format.js";
import { preview } from "./preview.js";
import { ask, attempt, badge, button, choice, confirm, dialog, row, showOnce, table, textInput } from "./ui.js";

const CHUNKS_SHOWN = 8;

/** Show it; gives true when something was changed. */
export async function showFile(path) {
  const changed = { is: false };
  const name = path.split("/").at(-1);
  await dialog(name, (close, box) => {
    const body = h("div", { class: "stack" }, h("p", { class: "muted waiting" }, "Looking …"));
    draw(path, body, { changed, close, box });
    return body;
  }, { drawer: true });
  return changed.is;
}

async function draw(path, body, frame) {
  try {
    const [info, history] = await Promise.all([get(`/v1/info/${encodePath(path)}`), get(`/v1/versions/${encodePath(path)}`)]);
    const again = () => { frame.changed.is = true; return draw(path, body, frame); };
    fill(body, actionsOf(info, again, frame), await preview(info, frame.box), facts(info), tags(info, again), versions(info, history.versions, again), copies(info));
  } catch (error) {
    fill(body, h("p", { class: "problem" }, error.message));
  }
}

function actionsOf(info, again, frame) {
  const address = `/v1/files/${encodePath(info.path)}`;
  return h("div", { class: "actions" },
    h("a", { class: "btn btn-primary", href: `${address}?download=1`, download: info.path.split("/").at(-1) }, icon("download", 17), "Download"),
    button("Share", () => share(info), { mark: "link" }),
    button("Move", async () => {
      const told = await ask("Rename or move", { path: ["New path", textInput({ value: info.path, required: true })] }, { verb: "Move it" });
      if (!told || told.path === info.path) return;
      if (await attempt(() => post("/v1/move", { src: info.path, dst: told.path }), `It is at ${told.path} now.`)) { frame.changed.is = true; frame.close(); }
    }, { mark: "edit", title: "Rename or move" }),
    button("Delete", async () => {
      if (!await confirm(`Delete ${info.path.split("/").at(-1)}?`, [h("p", {}, "It goes to the trash.")], { verb: "Delete", kind: "danger" })) return;
      if (await attempt(() => del(address), "It is in the trash.")) { frame.changed.is = true; frame.close(); }
    }, { mark: "trash", kind: "danger" }));
}

async function share(info) {
  const span = choice([["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]], "86400");
  const told = await ask("A link for others", { span: ["It works for", span] }, {
    verb: "Make the link", intro: "Whoever has the link can download this file, without a login, until it ends or you may not read the file any more." });
  if (!told) return;
  const made = await attempt(() => post("/v1/sign", { path: info.path, method: "GET", ttl_s: Number(told.span), download: true }));
  if (made) await showOnce("The link", `It ends ${time(made.expires)}. At every node it is the same after the host.`, [["Link", made.url]]);
}

function facts(info) {
  const lines = [
    ["Path", info.path], ["Size", `${size(info.size)}${info.size >= 1024 ? ` (${count(info.size)} bytes)` : ""}`], ["Type", info.content_type], ["Owner", info.owner],
    ["Changed", `${time(info.modified)} (${ago(info.modified)})`], ["Generation", count(info.generation)], ["ETag", info.etag], ["BLAKE3", info.blake3 ?? "not known"],
    ...Object.entries(info.meta).map(([key, value]) => [key, value]),
  ];
  const lock = info.lock ? h("p", { class: "verdict warn" }, icon("warning"), `Locked by ${info.lock.holder} until ${time(info.lock.expires)}.`) : null;
  return h("section", { class: "part" }, h("h3", {}, "Facts"), lock, h("dl", { class: "pairs" }, lines.map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])));
}

function tags(info, again) {
  const entries = Object.entries(info.tags);
  const save = (wanted, said) => attempt(() => put(`/v1/tags/${encodePath(info.path)}`, { tags: wanted }), said).then((done) => done && again());
  const add = async () => {
    const told = await ask("Add a tag", { key: ["Name", textInput({ required: true })], value: ["Value", textInput()] }, { verb: "Add it" });
    if (told) await save({ ...info.tags, [told.key.trim()]: told.value }, "Tagged.");
  };
  return h("section", { class: "part" }, h("h3", {}, "Tags"), h("div", { class: "actions" },
    entries.map(([key, value]) => h("span", { class: "tag" }, value ? `${key} = ${value}` : key,
      h("button", { type: "button", class: "btn-plain", "aria-label": `Remove the tag ${key}`, on: { click: () => {
        const { [key]: _, ...rest } = info.tags;
        return save(rest, "The tag is gone.");
      } } }, icon("close", 13)))),
    button("Add a tag", add, { small: true, mark: "tag" })));
}

function versions(info, lines, again) {
  const name = info.path.split("/").at(-1);
  const restore = async (line) => {
    const sure = await confirm(`Bring back generation ${line.generation}?`, [h("p", {}, `What ${name} is now becomes history; nothing is lost.`)], { verb: "Bring it back" });
    if (sure && await attempt(() => post("/v1/restore", { path: info.path, generation: line.generation, expect: info.generation }), "It is back.")) await again();
  };
  return h("section", { class: "part" }, h("h3", {}, "Versions"), table("Versions", ["Generation", "Changed", "Size", ""], lines.map((line) => row(
    h("span", {}, count(line.generation), " ", line.current ? badge("now", "good") : null), h("span", { title: time(line.modified) }, ago(line.modified)), size(line.size),
    h("div", { class: "actions" },
      h("a", { class: "btn btn-sm btn-quiet", href: `/v1/files/${encodePath(info.path)}${query({ generation: line.generation, download: 1 })}`, download: name, "aria-label": `Download generation ${line.generation}` }, icon("download", 15)),
      line.current ? null : button("Restore", () => restore(line), { small: true, title: `Restore generation ${line.generation}` }))))));
}

function copies(info) {
  if (info.inline) return h("section", { class: "part" }, h("h3", {}, "Copies"), h("p", { class: "muted" }, "It is small and lives in the metadata, on every node that keeps it."));
  const groups = new Map();
  for (const chunk of info.chunks) {
    const key = [...chunk.replicas].sort().join(", ");
    groups.set(key, [...(groups.get(key) ?? []), chunk]);
  }
  return h("section", { class: "part" }, h("h3", {}, "Copies"), h("ul", { class: "plain-list" }, [...groups].slice(0, CHUNKS_SHOWN).map(([nodes, chunks]) =>
    h("li", {}, `${several(chunks.length, "chunk")} (${size(chunks.reduce((sum, one) => sum + one.length, 0))}) on ${listed(nodes.split(", ")) || "no node"}`))));
}
