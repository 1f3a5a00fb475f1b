// Who changed what about people and rights, and what was refused.
import { get, query } from "./api.js";
import { fill, h } from "./dom.js";
import { ago, time } from "./format.js";
import { badge, button, empty, field, row, table, textInput } from "./ui.js";

const PAGE = 100;

export function show(place) {
  const who = textInput(), target = textInput(), refused = h("input", { type: "checkbox", class: "form-check-input" });
  const list = h("div", { class: "stack" }), more = h("div", { class: "actions" });
  let rows = [], turn = 0;
  const load = async (before) => {
    const mine = turn += 1;
    try {
      const page = await get(`/v1/admin/audit${query({ limit: PAGE, before, who: who.value.trim(), target: target.value.trim(), refused: refused.checked ? 1 : "" })}`);
      if (mine !== turn) return;
      rows = before ? [...rows, ...page.audit] : page.audit;
      fill(list, rows.length ? table("Audit log", ["When", "Who", "Did", "About", "More"], rows.map(line)) : empty("shield", "Nothing fits"));
      fill(more, page.before ? button("Older ones", () => load(page.before)) : null);
    } catch (error) { if (mine === turn) fill(list, h("p", { class: "problem" }, error.message)); }
  };
  let typing;
  for (const input of [who, target]) input.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => load(), 300); });
  refused.addEventListener("change", () => load());
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Audit"), button("Look again", () => load())),
    h("section", { class: "card-box" }, h("div", { class: "filters" }, field("Who", who), field("About", target), h("label", { class: "check-line" }, refused, " only refusals")), list, more));
  load();
  return () => clearTimeout(typing);
}

function line(one) {
  return row(h("span", { title: time(one.at) }, ago(one.at)), one.who || "a stranger", h("span", {}, one.act, " ", one.refused ? badge("refused", "bad") : null), one.target, h("span", { class: "muted" }, one.detail));
}
