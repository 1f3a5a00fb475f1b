// The machines of the cluster, and what can be done to each.
import { drain, fillAgain, recover, remove, scrub } from "./acts.js";
import { addressOf } from "./api.js";
import { fill, h, keyed, say } from "./dom.js";
import { count, percent, rate, size } from "./format.js";
import { nodeState } from "./health.js";
import { onLive } from "./live.js";
import { badge, bar, button } from "./ui.js";

export function show(place, { session }) {
  const list = h("div", { class: "node-grid" });
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Nodes")), list);
  return onLive(({ status, nodes }) => {
    const told = new Map((nodes?.nodes ?? []).map((node) => [node.name, node]));
    const rows = (status?.nodes ?? []).map((node) => ({ ...node, told: told.get(node.name)?.told, rates: told.get(node.name)?.rates, head: status.seq }));
    keyed(list, rows, (node) => node.name, (node) => nodeCard(node, session));
  });
}

function fact(label) {
  const value = h("dd", {}, "–");
  return { value, node: h("div", {}, h("dt", {}, label), value) };
}

function nodeCard(first, session) {
  const name = first.name;
  const pills = h("span", { class: "pills" });
  const disk = bar(`disk of ${name}`), diskText = h("p", { class: "muted small" });
  const facts = { zone: fact("Zone"), load: fact("Load"), lag: fact("Behind"), chunks: fact("Chunks"), bytes: fact("Holds"), traffic: fact("Requests") };
  const acts = session.role === "admin" ? {
    drain: button("Empty", () => drain(name), { small: true }), fill: button("Stop emptying", () => fillAgain(name), { small: true }),
    recover: button("Recover", () => recover(name), { small: true }), scrub: button("Scrub", () => scrub(name), { small: true }),
    remove: button("Remove", () => remove(name), { small: true, kind: "danger" }),
  } : {};
  const link = h("a", { class: "btn btn-sm btn-quiet" }, "Its dashboard");
  const node = h("article", { class: "card-box node-card", "aria-label": `Node ${name}` },
    h("header", {}, h("h2", {}, name), pills), disk.node, diskText,
    h("dl", { class: "facts" }, Object.values(facts).map((one) => one.node)),
    h("div", { class: "actions" }, Object.values(acts), name === session.node ? null : link));
  let shape = "";
  return { node, update(one) {
    const [word, kind] = nodeState(one);
    const wanted = JSON.stringify([word, kind, one.leader, one.voter, name === session.node]);
    if (wanted !== shape) {
      shape = wanted;
      fill(pills, badge(word, kind), one.leader ? badge("leads", "accent") : null, one.voter ? null : badge("no vote"), name === session.node ? badge("you are here") : null);
      node.classList.toggle("is-away", kind === "bad");
    }
    link.href = addressOf(one);
    link.hidden = kind === "bad";
    const told = kind === "bad" ? null : one.told;
    if (told?.total_bytes) {
      const used = percent(told.total_bytes - told.free_bytes, told.total_bytes);
      disk.set(used, used > 95 ? "bad" : used > 85 ? "warn" : "");
      say(diskText, `${size(told.free_bytes)} free of ${size(told.total_bytes)}`);
    } else say(diskText, one.told === null || kind === "bad" ? "does not tell about its disk" : "…");
    say(facts.zone.value, one.zone);
    say(facts.load.value, told?.load === null || told?.load === undefined ? "–" : `${Math.round(told.load * 100)} %`);
    const behind = told?.seq === null || told?.seq === undefined ? one.behind : Math.max(0, one.head - told.seq);
    say(facts.lag.value, kind === "bad" || behind === null ? "–" : behind <= 3 ? "in step" : `${count(behind)} changes`);
    say(facts.chunks.value, count(one.chunks));
    say(facts.bytes.value, size(one.bytes));
    say(facts.traffic.value, told && one.rates ? `${Math.round(one.rates.requests)}/s · ${rate(one.rates.received + one.rates.sent)}` : "–");
    if (acts.drain) {
      acts.drain.hidden = one.state === "draining";
      acts.fill.hidden = one.state !== "draining";
      acts.remove.hidden = !["draining", "down"].includes(one.state) && kind !== "bad";
      acts.scrub.disabled = kind === "bad";
    }
  } };
}
