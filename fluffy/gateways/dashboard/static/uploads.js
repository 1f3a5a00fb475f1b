// Uploads: several at once, with progress, in parts that go on where they were after a cut or another day.
import { Away, Refused, csrfHeaders, del, encodePath, get, post, requestId } from "./api.js";

const WHOLE_MAX = 8 * 1024 * 1024;
const PART_BYTES = 16 * 1024 * 1024;
const PARTS_MAX = 9000;
const PARTS_AT_ONCE = 3;
const FILES_AT_ONCE = 3;
const TRIES = 12;
const REMEMBERED = "fluffy.uploads";

export const transfers = [];
const listeners = new Set();
let partBytes = PART_BYTES;

/** Call with every change of any transfer; gives what ends it. */
export function onTransfers(listener) { listeners.add(listener); listener(); return () => listeners.delete(listener); }

let told = false;
function tell() {
  if (told) return;
  told = true;
  requestAnimationFrame(() => { told = false; for (const listener of [...listeners]) listener(); });
}

/** Parts of whole chunks share them with equal bytes elsewhere. */
export function setChunkSize(bytes) { partBytes = Math.max(bytes, Math.floor(PART_BYTES / bytes) * bytes); }

/** One file on its way. `state`: waiting, running, paused, failed, done, ended. */
class Transfer {
  constructor(file, path) {
    Object.assign(this, { file, path, size: file.size, sent: 0, state: "waiting", error: "", rate: 0, resumed: 0, id: null, waitsFor: "", requests: new Set() });
    this.samples = [];
  }

  set(state, error = "") { this.state = state; this.error = error; tell(); }

  get isOver() { return this.state === "done" || this.state === "ended"; }

  get secondsLeft() { return this.rate > 0 ? (this.size - this.sent) / this.rate : null; }

  moved(bytes) {
    this.sent = Math.min(this.size, bytes);
    const now = performance.now();
    this.samples.push([now, this.sent]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 4000) this.samples.shift();
    const [first] = this.samples;
    if (now - first[0] > 300) this.rate = Math.max(0, (1000 * (this.sent - first[1])) / (now - first[0]));
    tell();
  }

  stop() { for (const request of this.requests) request.abort(); }

  pause() { if (this.state === "running" || this.state === "waiting") { this.set("paused"); this.stop(); } }

  go() { if (this.state === "paused" || this.state === "failed") { this.set("waiting"); pump(); } }

  async end() {
    const id = recall(this);
    this.set("ended");
    this.stop();
    forget(this);
    if (id) await del(`/v1/uploads/${id}`).catch((error) => { if (!(error instanceof Refused)) throw error; });
  }

  async run() {
    this.waitsFor = "";
    this.set("running");
    this.samples = [];
    try {
      if (this.size <= WHOLE_MAX) await this.sendWhole();
      else await this.sendParts();
      this.sent = this.size;
      this.set("done");
      dispatchEvent(new CustomEvent("fluffy:uploaded", { detail: this.path }));
    } catch (error) {
      if (this.state === "running") this.set("failed", error.message);
    }
  }

  async sendWhole() {
    const headers = { "Content-Type": this.file.type || "application/octet-stream", "Fluffy-Request-Id": requestId() };
    await this.patiently(() => this.send("PUT", `/v1/files/${encodePath(this.path)}`, this.file, headers, (bytes) => this.moved(bytes)));
  }

  async sendParts() {
    const { id, done } = await this.upload();
    let bytes = partBytes;
    while (this.size / bytes > PARTS_MAX) bytes *= 2;
    const wanted = Math.ceil(this.size / bytes);
    const lengthOf = (n) => Math.min(bytes, this.size - (n - 1) * bytes);
    const sent = new Map();
    for (const part of done) if (part.n <= wanted && part.size === lengthOf(part.n)) sent.set(part.n, part.size);
    const total = () => [...sent.values()].reduce((sum, value) => sum + value, 0);
    this.resumed = total();
    this.moved(this.resumed);
    const left = Array.from({ length: wanted }, (_, index) => index + 1).filter((n) => !sent.has(n));
    const work = async () => {
      for (let n = left.shift(); n !== undefined; n = left.shift()) {
        const start = (n - 1) * bytes;
        await this.patiently(() => this.send("PUT", `/v1/uploads/${id}/parts/${n}`, this.file.slice(start, start + lengthOf(n)),
          {}, (count) => { sent.set(n, count); this.moved(total()); }));
        sent.set(n, lengthOf(n));
        this.moved(total());
      }
    };
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, work));
    await this.patiently(() => post(`/v1/uploads/${id}/complete`, { size: this.size, parts: Array.from({ length: wanted }, (_, index) => index + 1) }));
    forget(this);
  }

  /** The upload that was begun before for this very file, or a new one. */
  async upload() {
    const known = recall(this);
    if (known) {
      try {
        const found = await this.patiently(() => get(`/v1/uploads/${known}`));
        if (found.state === "open" && found.path === this.path) {
          this.id = known;
          return { id: known, done: found.parts };
        }
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 404) throw error;
      }
      forget(this);
    }
    const begun = await this.patiently(() => post("/v1/uploads", {
      path: this.path, size: this.size, content_type: this.file.type || "application/octet-stream" }));
    remember(this, begun.id);
    this.id = begun.id;
    return { id: begun.id, done: [] };
  }

  /** Try again what may go well the next time: a node restarts, a leader is chosen, a line breaks. */
  async patiently(act) {
    for (let tries = 1; ; tries += 1) {
      if (this.state !== "running") throw new Error("stopped");
      try {
        const value = await act();
        this.waitsFor = "";
        return value;
      } catch (error) {
        const mayHelp = error instanceof Away || (error instanceof Refused && (error.status === 503 || error.status === 408));
        if (!mayHelp || tries >= TRIES || this.state !== "running") throw error;
        this.waitsFor = error.message;
        tell();
        await new Promise((done) => setTimeout(done, Math.min(8000, 400 * 2 ** tries)));
      }
    }
  }

  /** By XMLHttpRequest: fetch does not tell how much has been sent. */
  send(method, url, body, headers, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      this.requests.add(request);
      request.open(method, url);
      for (const [name, value] of Object.entries({ ...csrfHeaders(), ...headers })) request.setRequestHeader(name, value);
      request.upload.addEventListener("progress", (event) => progress(event.loaded));
      request.addEventListener("loadend", () => this.requests.delete(request));
      request.addEventListener("error", () => reject(new Away()));
      request.addEventListener("abort", () => reject(new Error("stopped")));
      request.addEventListener("load", () => {
        let value = null;
        try { value = JSON.parse(request.responseText); } catch { value = null; }
        if (request.status >= 200 && request.status < 300) resolve(value);
        else reject(new Refused(request.status, value?.error));
      });
      request.send(body);
    });
  }
}

/** Begin to send files: [{file, path}]. */
export function upload(items) {
  for (const { file, path } of items) transfers.push(new Transfer(file, path));
  tell();
  pump();
}

function pump() {
  const running = transfers.filter((one) => one.state === "running").length;
  const waiting = transfers.filter((one) => one.state === "waiting");
  for (const one of waiting.slice(0, FILES_AT_ONCE - running)) one.run().finally(pump);
}

/** Take what is over from the list. */
export function clearOver() {
  const kept = transfers.filter((one) => !one.isOver);
  transfers.splice(0, transfers.length, ...kept);
  tell();
}

// Which upload belongs to which file, so that choosing the same file again goes on with it.

function nameOf(transfer) { return [transfer.path, transfer.size, transfer.file.lastModified].join("|"); }
function remembered() { try { return JSON.parse(localStorage.getItem(REMEMBERED) ?? "{}"); } catch { return {}; } }
function recall(transfer) { return remembered()[nameOf(transfer)]; }
function keep(values) { localStorage.setItem(REMEMBERED, JSON.stringify(Object.fromEntries(Object.entries(values).slice(-200)))); }
function remember(transfer, id) { keep({ ...remembered(), [nameOf(transfer)]: id }); }
function forget(transfer) { const { [nameOf(transfer)]: _, ...rest } = remembered(); keep(rest); }

/** The ids of uploads that this browser can go on with, once it is given the file again. */
export function resumable() { return new Set(Object.values(remembered())); }

/** What was dropped: {files: [{file, name}], folders: [name]}. Names have the folders in them; `folders` are the empty ones. */
export async function dropped(data) {
  const entries = [...data.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = { files: [], folders: [] };
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

async function walk(entry, folder, found) {
  if (entry instanceof File) found.files.push({ file: entry, name: folder + entry.name });
  else if (entry?.isFile) found.files.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), name: folder + entry.name });
  else if (entry?.isDirectory) {
    const reader = entry.createReader();
    const readSome = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    let some = await readSome();
    if (!some.length) found.folders.push(folder + entry.name);
    for (; some.length; some = await readSome()) for (const one of some) await walk(one, `${folder}${entry.name}/`, found);
  }
}

addEventListener("beforeunload", (event) => { if (transfers.some((one) => one.state === "running")) event.preventDefault(); });
