// The supernode's dashboard: all clusters, search and lists in all of them, what is owed to whom.
import { del, encodePath, get, query, setCsrf } from "./api.js";
import { fill, h, icon, keyed, say } from "./dom.js";
import { ago, count, several, size, span } from "./format.js";
import { loginPage } from "./login.js";
import { attempt, badge, button, card, empty, iconButton, row, table, textInput } from "./ui.js";

const EVERY_MS = 2000;
const HITS = 100;
const PAGE = 200;
const KINDS = { fresh: "good", stale: "warn", away: "bad", rebuilding: "warn", closed: "plain" };

const app = document.getElementById("app");
let timer = null;

async function begin() {
  let session;
  try {
    session = await get("/v1/session");
  } catch (error) { showLogin(error.message); return; }
  if (!session.user) { showLogin(); return; }
  setCsrf(session.csrf);
  showAll(session);
}

function showLogin(problem = "") {
  clearInterval(timer);
  fill(app, loginPage(problem, begin, { onlyToken: true }));
}

function showAll(session) {
  const clusters = h("div", { class: "node-grid" }), note = h("p", { class: "muted small", role: "status" });
  const owed = h("div"), mirrors = card("Mirrors"), main = h("main", { id: "main", tabindex: "-1" });
  const look = async () => {
    if (document.hidden) return;
    try {
      const told = await get("/v1/clusters");
      keyed(clusters, told.clusters, (one) => one.name, clusterCard);
      say(note, several(told.clusters.length, "cluster"));
      drawOwed(owed, await get("/v1/owed"));
      drawMirrors(mirrors, (await get("/v1/mirrors")).mirrors);
    } catch (error) { say(note, error.message); }
  };
  mirrors.hidden = true;
  fill(main, h("div", { class: "page" }, h("div", { class: "page-head" }, h("h1", {}, "Clusters"), note), clusters, searchCard(), catalogCard(), mirrors, card("Owed to clusters", owed)));
  fill(app, h("div", { class: "frame frame-plain" }, h("header", { class: "top" }, h("span", { class: "brand" }, h("span", { class: "brand-mark", "aria-hidden": "true" }), h("span", {}, "Supernode")),
    h("span", { class: "top-space" }), h("span", { class: "who muted" }, session.user), iconButton("moon", "Light or dark", () => {
      localStorage.setItem("fluffy.theme", document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark");
      dispatchEvent(new Event("fluffy:theme"));
    }), iconButton("leave", "Log out", async () => { await attempt(() => del("/v1/session")); showLogin(); })), h("div", { class: "content" }, main)));
  look();
  clearInterval(timer);
  timer = setInterval(look, EVERY_MS);
}

function clusterCard(first) {
  const pills = h("span", { class: "pills" }), peers = h("p", { class: "small" });
  const facts = Object.fromEntries(["Nodes up", "Leader", "Files", "Stored", "Free", "Fresh as of"].map((label) => [label, h("dd", {}, "–")]));
  const node = h("article", { class: "card-box node-card", "aria-label": `Cluster ${first.name}` }, h("header", {}, h("h2", {}, first.name), pills),
    h("dl", { class: "facts" }, Object.entries(facts).map(([label, value]) => h("div", {}, h("dt", {}, label), value))), peers);
  let shape = "";
  return { node, update(one) {
    const wanted = JSON.stringify([one.state, one.reachable, one.you_are, one.peers]);
    if (wanted !== shape) {
      shape = wanted;
      fill(pills, badge(one.reachable ? one.state : "away", one.reachable ? KINDS[one.state] ?? "plain" : "bad"), one.you_are ? badge(`you are ${one.you_are}`) : badge("does not know you"));
      fill(peers, one.peers.filter((url) => /^https?:/.test(url)).map((url, index) => [index ? " · " : "", h("a", { href: url, rel: "noreferrer" }, url.replace(/^https?:\/\//, ""))]));
      node.classList.toggle("is-away", !one.reachable);
    }
    say(facts["Nodes up"], one.nodes === null ? "–" : `${count(one.nodes_up)} of ${count(one.nodes)}`);
    say(facts.Leader, one.leader ?? "–");
    say(facts.Files, count(one.files));
    say(facts.Stored, size(one.bytes));
    say(facts.Free, size(one.free_bytes));
    say(facts["Fresh as of"], ago(one.fresh_as_of));
  } };
}

function link(cluster, path, text) {
  return h("a", { href: `/v1/files/${encodePath(`${cluster}${path}`)}?download=1` }, text);
}

function searchCard() {
  const words = textInput({ type: "search", placeholder: "A name or a pattern, in all clusters", "aria-label": "Search all clusters" });
  const said = h("p", { class: "muted small", role: "status" }), hits = h("div");
  const search = async (event) => {
    event.preventDefault();
    said.textContent = "Searching …";
    try {
      const told = await get(`/v1/search${query({ q: words.value.trim() || "*", limit: HITS })}`);
      const partial = told.coverage.filter((one) => one.state !== "fresh");
      said.textContent = `${several(told.hits.length, "hit")}${told.after ? " and more" : ""}${partial.length ? ` · not fresh: ${partial.map((one) => `${one.cluster} (${one.state})`).join(", ")}` : ""}`;
      fill(hits, told.hits.length ? table("Hits", ["Cluster", "Path", "Size", "Changed"], told.hits.map((hit) => row(badge(hit.cluster),
        h("span", { class: "with-icon" }, icon(hit.kind === "file" ? "file" : "folder"), hit.kind === "file" ? link(hit.cluster, hit.path, hit.path) : h("span", {}, hit.path)), hit.kind === "file" ? size(hit.size) : "", ago(hit.modified)))) : empty("search", "Nothing has such a name"));
    } catch (error) { said.textContent = error.message; }
  };
  return card("Search everywhere", h("form", { class: "list-bar", role: "search", on: { submit: search } }, words, button("Search", null, { kind: "primary", type: "submit", mark: "search" })), said, hits);
}

/** Folders of all clusters, one after the other. */
function catalogCard() {
  const crumbs = h("nav", { class: "crumbs", "aria-label": "Where you are" }), list = h("div");
  const open = async (parts) => {
    try {
      const told = parts.length ? await get(`/v1/catalog/${encodePath(parts.join("/"))}${query({ limit: PAGE })}`) : await get("/v1/catalog");
      fill(crumbs, h("ol", {}, ["All clusters", ...parts].map((part, index) => h("li", {}, button(part, () => open(parts.slice(0, index)), { small: true })))));
      const { entries } = told;
      fill(list, entries.length ? table("Catalog", ["Name", "Size", "Changed"], entries.map((one) => row(h("span", { class: "with-icon" }, icon(one.kind === "file" ? "file" : one.kind === "cluster" ? "globe" : "folder"),
        one.kind === "file" ? link(parts[0], one.path, one.name) : button(one.name, () => open([...parts, one.name]), { small: true })), one.kind === "file" ? size(one.size) : "", one.modified ? ago(one.modified) : ""))) : empty("folder", "Nothing here"),
      told.after ? h("p", { class: "muted small" }, `The first ${PAGE} are shown; search for the rest.`) : null);
    } catch (error) { fill(list, h("p", { class: "problem" }, error.message)); }
  };
  open([]);
  return card("Catalog", crumbs, list);
}

let lastOwed = "";
function drawOwed(node, told) {
  const shape = JSON.stringify([told.owed.length, told.given_up.length]);
  if (shape === lastOwed) return;
  lastOwed = shape;
  fill(node, h("p", { class: "muted" }, told.owed.length || told.given_up.length ? `${several(told.owed.length, "order")} wait for clusters that were away; ${count(told.given_up.length)} were given up.` : "Nothing: every cluster has what was meant for it."));
}

let lastMirrors = "[]";
/** Buckets that are kept in another cluster; nothing where there are none. */
function drawMirrors(node, mirrors) {
  if (JSON.stringify(mirrors) === lastMirrors) return;
  lastMirrors = JSON.stringify(mirrors);
  node.hidden = !mirrors.length;
  const behind = (one) => (one.lag.changes || one.lag.pending ? `${several(one.lag.changes + one.lag.pending, "change")}, ${span(one.lag.seconds)}` : "in step");
  const failing = (one) => [one.error, one.failing.length ? `${several(one.failing.length, "path fails", "paths fail")}: ${one.failing[0].path} (${one.failing[0].error})` : null,
    one.kept_count ? `${several(one.kept_count, "file")} of others kept beside it` : null].filter(Boolean).join(" · ");
  fill(node, h("h2", { class: "card-title" }, "Mirrors"), table("Mirrors", ["Name", "From", "To", "State", "Behind", ""], mirrors.map((one) => row(
    h("strong", {}, one.name), one.from, one.to, badge(one.state, one.error || one.failing.length ? "warn" : one.state === "level" ? "good" : "plain"), behind(one), failing(one)))));
}

addEventListener("fluffy:logged-out", () => showLogin("Your session has ended; log in again."));
begin();
