// Browsing: folders, search, uploads by choice or by dropping, and what can be done with what is chosen.
import { del, encodePath, get, post, put, query } from "./api.js";
import { fileList } from "./filelist.js";
import { showFile } from "./filepanel.js";
import { fill, h, icon, say } from "./dom.js";
import { count, several, size } from "./format.js";
import { live } from "./live.js";
import { transferPanel } from "./transfers.js";
import { showTrash } from "./trash.js";
import { unfinishedPart } from "./unfinished.js";
import { dropped, setChunkSize, upload } from "./uploads.js";
import { ask, attempt, button, confirm, empty, textInput, toast } from "./ui.js";

const PAGE = 1000;
// Of a folder with more, the rest is found by search.
const ENTRIES_MAX = 300000;
// The search knows buckets, not folders: hits elsewhere in the bucket are passed over, so many at most.
const SEARCH_PAGE = 500, SEARCH_PAGES = 20;

export function show(place, { session, rest }) {
  if (rest[0] === "!trash") return showTrash(place, { session });
  const path = rest.filter((part) => part !== "").join("/");
  setChunkSize(session.part_size);
  return new FilesPage(place, session, path).begin();
}

/** Where a path is shown. */
export function linkTo(path) { return `#/files/${encodePath(path)}`; }

class FilesPage {
  constructor(place, session, path) {
    Object.assign(this, { place, session, path, entries: [], after: null, total: 0, loading: null, turn: 0, found: null, sort: ["name", 1] });
    this.ends = [];
  }

  begin() {
    this.list = fileList({
      open: (entry) => this.open(entry), details: (entry) => this.details(entry), remove: (entries) => this.remove(entries),
      needMore: () => this.loadMore(), selected: (entries) => this.drawActions(entries), up: () => this.up(),
    });
    this.build();
    this.load();
    this.unfinished.load();
    const uploaded = (event) => { if (this.isHere(event.detail)) { this.reloadSoon(); this.unfinished.load(); } };
    addEventListener("fluffy:uploaded", uploaded);
    this.ends.push(() => removeEventListener("fluffy:uploaded", uploaded), this.transfers.end);
    this.listen();
    return () => { this.turn += 1; clearTimeout(this.soon); for (const end of this.ends) end(); };
  }

  build() {
    this.search = textInput({ type: "search", placeholder: "Search names: report, *.pdf …", "aria-label": "Search files" });
    this.search.addEventListener("input", () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.find(), 250); });
    this.choose = h("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true", on: { change: () => this.chosen(this.choose) } });
    this.chooseFolder = h("input", { type: "file", webkitdirectory: true, hidden: true, tabindex: "-1", "aria-hidden": "true", on: { change: () => this.chosen(this.chooseFolder) } });
    this.sum = h("p", { class: "muted small", role: "status" });
    this.acts = h("div", { class: "actions" });
    this.empty = h("div");
    this.heads = h("div", { class: "list-heads" }, h("span"), h("span"), this.head("name", "Name"), h("span", { class: "list-owner" }, "Owner"), this.head("size", "Size", "list-size"), this.head("modified", "Changed", "list-time"));
    this.box = h("section", { class: "card-box list-box", "aria-label": "Files" },
      h("div", { class: "list-tools" }, this.acts, this.sum), this.heads, this.list.node, this.empty,
      h("div", { class: "drop-hint", "aria-hidden": "true" }, icon("upload", 34), h("p", {}, `Drop here to upload into ${this.path ? `/${this.path}` : "a bucket"}`)));
    this.transfers = transferPanel();
    this.unfinished = unfinishedPart(this.path);
    fill(this.place,
      h("div", { class: "page-head" }, h("h1", {}, "Files"), h("div", { class: "actions" },
        h("a", { class: "btn btn-quiet", href: "#/files/!trash" }, icon("trash"), "Trash"),
        button(this.path ? "New folder" : "New bucket", () => this.makeFolder(), { mark: "plus" }),
        this.path ? button("Upload a folder", () => this.chooseFolder.click(), { mark: "folder" }) : null,
        this.path ? button("Upload", () => this.choose.click(), { kind: "primary", mark: "upload" }) : null)),
      h("div", { class: "list-bar" }, this.crumbs(), this.search), this.choose, this.chooseFolder, this.box, this.unfinished.node, this.transfers.node);
    this.drawActions([]);
  }

  head(name, text, look = "") {
    const node = h("button", { class: `list-head ${look}`, type: "button", on: { click: () => this.sortBy(name) } }, text);
    node.dataset.sort = name;
    return node;
  }

  crumbs() {
    const parts = this.path.split("/").filter(Boolean);
    const links = [h("li", {}, h("a", { href: "#/files" }, "All buckets"))];
    parts.forEach((part, index) => links.push(h("li", {}, index === parts.length - 1 ? h("span", { "aria-current": "page" }, part)
      : h("a", { href: linkTo(parts.slice(0, index + 1).join("/")) }, part))));
    return h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("ol", {}, links));
  }

  isHere(path) {
    const clean = path.replace(/^\//, "");
    return this.path === "" || clean.startsWith(`${this.path}/`);
  }

  reloadSoon() { clearTimeout(this.soon); this.soon = setTimeout(() => this.load(), 600); }

  // Loading

  async load() {
    const turn = this.turn += 1;
    this.found = null;
    try {
      const first = await get(`/v1/dirs/${encodePath(this.path)}${query({ limit: this.path ? 200 : PAGE, long: 1 })}`);
      const info = this.path && first.after ? await get(`/v1/info/${encodePath(this.path)}`) : null;
      if (turn !== this.turn) return;
      this.entries = first.entries;
      this.after = first.after;
      this.total = info ? info.entries : first.entries.length;
      this.shown();
    } catch (error) {
      if (turn !== this.turn) return;
      this.entries = [];
      this.after = null;
      this.list.set([], 0);
      this.list.node.hidden = this.heads.hidden = true;
      this.drawActions([]);
      fill(this.empty, empty("folder", error.status === 404 ? "There is no such folder" : "This folder cannot be shown", error.message));
      say(this.sum, "");
    }
  }

  loadMore() {
    if (this.found || !this.after || this.loading || this.entries.length >= ENTRIES_MAX) return this.loading;
    const turn = this.turn;
    this.loading = get(`/v1/dirs/${encodePath(this.path)}${query({ limit: PAGE, long: 1, after: this.after })}`).then((page) => {
      this.loading = null;
      if (turn !== this.turn) return;
      this.entries = this.entries.concat(page.entries);
      this.after = page.after;
      this.total = Math.max(this.total, this.entries.length);
      this.list.more(this.entries, this.total);
      this.drawSum();
    }, (error) => { this.loading = null; if (turn === this.turn) toast(error.message, "problem"); });
    return this.loading;
  }

  async loadAll() {
    const turn = this.turn;
    while (turn === this.turn && this.after && this.entries.length < ENTRIES_MAX) await this.loadMore();
    return turn === this.turn;
  }

  async sortBy(name) {
    this.sort = [name, this.sort[0] === name ? -this.sort[1] : 1];
    if (!this.found && !(await this.loadAll())) return;
    this.shown();
  }

  shown() {
    const [by, way] = this.sort;
    const rows = this.found ?? this.entries;
    if (by !== "name" || way !== 1 || this.found) {
      const value = { name: (one) => one.name, size: (one) => one.size, modified: (one) => one.modified }[by];
      rows.sort((a, b) => { const x = value(a), y = value(b); return way * (x < y ? -1 : x > y ? 1 : 0); });
    }
    for (const head of this.heads.querySelectorAll("[data-sort]")) {
      head.classList.toggle("is-sorted", head.dataset.sort === by);
      head.classList.toggle("is-down", head.dataset.sort === by && way < 0);
      head.setAttribute("aria-label", `Sort by ${head.textContent}${head.dataset.sort === by ? (way > 0 ? ", ascending now" : ", descending now") : ""}`);
    }
    this.list.set(rows, this.found ? rows.length : this.total);
    const isEmpty = rows.length === 0;
    this.list.node.hidden = this.heads.hidden = isEmpty;
    fill(this.empty, isEmpty ? this.emptyWords() : null);
    this.drawSum();
    this.drawActions(this.list.chosen());
  }

  emptyWords() {
    if (this.found) return empty("search", "Nothing has such a name", this.path ? `Words and patterns like *.pdf are looked for in names, in /${this.path} and all folders below it.` : "Words and patterns like *.pdf are looked for in names, in all that you may see.");
    return this.path ? empty("upload", "This folder is empty", "Drop files or folders here, or choose Upload.") : empty("folder", "There are no buckets yet", "Make one to put files in.");
  }

  drawSum() {
    const rows = this.found ?? this.entries;
    const bytes = rows.reduce((sum, one) => sum + (one.kind === "file" ? one.size : 0), 0);
    say(this.sum, this.found ? `${several(rows.length, "hit")}${this.moreHits ? " and more" : ""}` : this.after ? `${count(this.entries.length)} of ${count(this.total)} loaded` : rows.length ? `${several(rows.length, this.path ? "entry" : "bucket", this.path ? "entries" : "buckets")}${bytes ? ` · ${size(bytes)}` : ""}` : "");
  }

  async find() {
    const wanted = this.search.value.trim();
    if (!wanted) { await this.load(); return; }
    const turn = this.turn += 1;
    const below = this.path ? `/${this.path}/` : "/", hits = [];
    try {
      let after = null;
      for (let page = 0; page < SEARCH_PAGES && hits.length < SEARCH_PAGE && (page === 0 || after); page += 1) {
        const told = await get(`/v1/search${query({ q: wanted, bucket: this.path.split("/")[0], limit: SEARCH_PAGE, after })}`);
        if (turn !== this.turn) return;
        hits.push(...told.hits.filter((hit) => hit.path.startsWith(below)));
        after = told.after;
      }
      this.found = hits.map((hit) => ({ ...hit, name: hit.path.slice(below.length) }));
      this.moreHits = Boolean(after);
      this.list.top();
      this.shown();
    } catch (error) {
      if (turn === this.turn) say(this.sum, error.message);
    }
  }

  // Acting

  open(entry) {
    if (entry.kind === "file") this.details(entry);
    else location.hash = linkTo(entry.path).slice(1);
  }

  async details(entry) {
    if (entry.kind !== "file") { location.hash = linkTo(entry.path).slice(1); return; }
    if (await showFile(entry.path)) await this.load();
    this.list.node.focus();
  }

  up() { if (this.path) location.hash = linkTo(this.path.split("/").slice(0, -1).join("/")).slice(1); }

  drawActions(entries) {
    const files = entries.filter((one) => one.kind === "file");
    const hasLines = (this.found ?? this.entries).length > 0;
    fill(this.acts, entries.length === 0 ? hasLines && h("span", { class: "muted small" }, "Open with a click or Enter; choose with Space or the box.") : [
      h("strong", {}, `${count(entries.length)} chosen`),
      files.length === entries.length ? button("Download", () => this.download(files), { small: true, mark: "download" }) : null,
      entries.length === 1 ? button("Rename or move", () => this.move(entries[0]), { small: true, mark: "edit" }) : button("Move", () => this.moveAll(entries), { small: true, mark: "edit" }),
      button("Delete", () => this.remove(entries), { small: true, kind: "danger", mark: "trash" }),
      button("Choose none", () => this.list.clear(), { small: true })]);
  }

  download(files) {
    files.slice(0, 20).forEach((one, index) => setTimeout(() => {
      const link = h("a", { href: `/v1/files/${encodePath(one.path)}?download=1`, download: one.name.split("/").at(-1) });
      document.body.append(link);
      link.click();
      link.remove();
    }, index * 350));
    if (files.length > 20) toast("Browsers take twenty downloads at once; choose the rest after these.", "note");
  }

  async makeFolder() {
    const input = textInput({ required: true });
    const told = await ask(this.path ? `New folder in /${this.path}` : "New bucket", { name: ["Name", input] }, { verb: "Make it" });
    if (!told?.name.trim()) return;
    const path = `${this.path}/${told.name.trim()}`;
    if (await attempt(() => put(`/v1/dirs/${encodePath(path)}`, undefined), `${told.name.trim()} is there.`)) await this.load();
  }

  async move(entry) {
    const input = textInput({ value: entry.path, required: true });
    const told = await ask(`Rename or move ${entry.name}`, { path: ["New path", input] }, { verb: "Move it" });
    if (!told || told.path === entry.path) return;
    const dst = told.path.startsWith("/") ? told.path : `/${this.path}/${told.path}`;
    if (await attempt(() => post("/v1/move", { src: entry.path, dst }), `It is at ${dst} now.`)) await this.load();
  }

  async moveAll(entries) {
    const input = textInput({ value: `/${this.path}`, required: true });
    const told = await ask(`Move ${several(entries.length, "entry", "entries")}`, { path: ["Into this folder", input] }, { verb: "Move them" });
    if (!told) return;
    const folder = told.path.replace(/\/+$/, "");
    await this.each(entries, (one) => post("/v1/move", { src: one.path, dst: `${folder}/${one.path.split("/").at(-1)}` }), "moved");
  }

  async remove(entries) {
    const folders = entries.filter((one) => one.kind !== "file");
    const sure = await confirm(entries.length === 1 ? `Delete ${entries[0].name}?` : `Delete ${several(entries.length, "entry", "entries")}?`, [
      h("p", {}, folders.length ? `${folders.length === 1 ? "The folder goes" : "Folders go"} with all that is in ${folders.length === 1 ? "it" : "them"}. ` : "",
        `It all goes to the trash, where it is kept for ${several(live.status?.settings.trash_days ?? 7, "day")}, if its bucket says nothing else.`)],
    { verb: "Delete", kind: "danger" });
    if (!sure) return;
    await this.each(entries, (one) => del(one.kind === "file" ? `/v1/files/${encodePath(one.path)}` : `/v1/dirs/${encodePath(one.path)}?recursive=1`), "in the trash");
  }

  /** One after the other; the first refusal is told, the others counted. */
  async each(entries, act, word) {
    let done = 0;
    const refused = [];
    for (const one of entries) {
      try { await act(one); done += 1; } catch (error) { refused.push(error.message); }
    }
    if (done) toast(`${several(done, "entry", "entries")} ${word}.`);
    if (refused.length) toast(`${refused[0]}${refused.length > 1 ? ` (and ${refused.length - 1} more)` : ""}`, "problem");
    this.list.clear();
    await this.load();
  }

  chosen(input) {
    this.send({ files: [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })) });
    input.value = "";
  }

  /** `folders`: names of empty ones; all others come with what is in them. */
  async send({ files, folders = [] }) {
    if (!files.length && !folders.length) return;
    if (!this.path) { toast("Open a bucket first: files lie in buckets.", "note"); return; }
    upload(files.map(({ file, name }) => ({ file, path: `/${this.path}/${name}` })));
    this.unfinished.load();
    for (const name of folders) if (!await attempt(() => put(`/v1/dirs/${encodePath(`${this.path}/${name}`)}?parents=1`, undefined))) return;
    if (folders.length) this.reloadSoon();
  }

  /** Dropping anywhere on the page uploads into the folder that is shown. */
  listen() {
    let depth = 0;
    const isFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = { dragenter: (event) => { if (isFiles(event)) { depth += 1; this.box.classList.add("is-over"); event.preventDefault(); } },
      dragover: (event) => { if (isFiles(event)) event.preventDefault(); },
      dragleave: (event) => { if (isFiles(event) && (depth -= 1) <= 0) { depth = 0; this.box.classList.remove("is-over"); } },
      drop: async (event) => {
        if (!isFiles(event)) return;
        event.preventDefault();
        depth = 0;
        this.box.classList.remove("is-over");
        try { await this.send(await dropped(event.dataTransfer)); } catch (error) { toast(`What was dropped could not be read: ${error.message}`, "problem"); }
      } };
    for (const [name, listener] of Object.entries(over)) {
      window.addEventListener(name, listener);
      this.ends.push(() => window.removeEventListener(name, listener));
    }
    const slash = (event) => { if (event.key === "/" && !event.target.closest("input, textarea, select, dialog")) { event.preventDefault(); this.search.focus(); } };
    window.addEventListener("keydown", slash);
    this.ends.push(() => window.removeEventListener("keydown", slash));
  }
}
