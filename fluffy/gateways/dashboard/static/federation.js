// Other clusters, as a supernode that this one knows tells of them.
import { get, query } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { ago, count, several, size } from "./format.js";
import { onLive } from "./live.js";
import { badge, button, card, empty, row, table, textInput } from "./ui.js";

const HITS = 100;
const KINDS = { fresh: "good", stale: "warn", away: "bad" };

export function show(place, { session }) {
  const supernodes = h("div", { class: "chips" }), coverage = h("div"), hits = h("div"), said = h("p", { class: "muted small", role: "status" });
  const words = textInput({ type: "search", placeholder: "A name or a pattern, in all clusters", "aria-label": "Search all clusters" });
  const search = async () => {
    said.textContent = "Searching …";
    try {
      const told = await get(`/v1/search${query({ q: words.value.trim() || "*", everywhere: 1, limit: HITS })}`);
      drawCoverage(coverage, told.coverage, session.cluster);
      said.textContent = `${several(told.hits.length, "hit")}${told.after ? " and more" : ""} in ${several(told.coverage.length, "cluster")}.`;
      fill(hits, told.hits.length ? table("Hits", ["Cluster", "Path", "Size", "Changed"], told.hits.map((hit) => row(
        badge(hit.cluster, hit.cluster === session.cluster ? "accent" : "plain"), h("span", { class: "with-icon" }, icon(hit.kind === "file" ? "file" : "folder"), h("span", {}, hit.path)),
        hit.kind === "file" ? size(hit.size) : "", ago(hit.modified)))) : empty("search", "Nothing has such a name"));
    } catch (error) {
      said.textContent = "";
      fill(coverage, empty("globe", "No supernode can be asked", error.message));
      fill(hits);
    }
  };
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Federation")),
    card("Clusters", coverage, h("p", { class: "muted small" }, "Supernodes that this cluster knows:"), supernodes),
    card("Search everywhere", h("form", { class: "list-bar", role: "search", on: { submit: (event) => { event.preventDefault(); search(); } } }, words, button("Search", null, { kind: "primary", type: "submit", mark: "search" })), said, hits));
  search();
  let shape = "";
  return onLive(({ status }) => {
    const urls = status?.supernodes ?? [];
    if (shape === urls.join()) return;
    shape = urls.join();
    fill(supernodes, urls.length ? urls.filter((url) => /^https?:/.test(url)).map((url) => h("a", { class: "chip", href: url, rel: "noreferrer" }, icon("globe"), url)) : h("span", { class: "muted" }, "none (cluster.supernodes in config.yaml)"));
  });
}

function drawCoverage(node, lines, own) {
  fill(node, table("Clusters", ["Cluster", "State", "Fresh as of", "Behind"], lines.map((one) => row(
    h("strong", {}, one.cluster, one.cluster === own ? " (this one)" : ""), badge(one.reason ? `${one.state}: ${one.reason}` : one.state, KINDS[one.state] ?? "plain"),
    ago(one.fresh_as_of), one.lag === null ? "–" : count(one.lag)))));
}
