// How the cluster is, in words and a few numbers.
import { get } from "./api.js";
import { checkpoint, scrub } from "./acts.js";
import { fill, h, icon, keyed, say } from "./dom.js";
import { ago, count, percent, rate, size, span } from "./format.js";
import { inWords, nodeState, waitsForRepair } from "./health.js";
import { onLive } from "./live.js";
import { spark } from "./spark.js";
import { badge, bar, button, card } from "./ui.js";

const DOCTOR_EVERY_MS = 10000;

export function show(place, { session }) {
  const isAdmin = session.role === "admin";
  const hero = heroPart();
  const numbers = numbersPart();
  const doctor = doctorPart();
  const nodes = h("div", { class: "chips" });
  const repair = repairPart();
  place.append(
    h("div", { class: "page-head" }, h("h1", {}, "Overview"), isAdmin ? h("div", { class: "actions" },
      button("Checkpoint", () => checkpoint(session.node), { mark: "disk" }),
      button("Scrub", () => scrub(), { mark: "search" })) : null),
    hero.node, numbers.node,
    h("div", { class: "two" }, card("Nodes", nodes, h("p", { class: "after" }, h("a", { href: "#/nodes" }, "All about the nodes"))), repair.node),
    doctor.node);
  const end = onLive((state, what) => {
    hero.update(state);
    numbers.update(state);
    repair.update(state);
    keyed(nodes, state.status?.nodes ?? [], (node) => node.name, nodeChip);
    if (what === "status") doctor.noticed(state.status);
  });
  const timer = setInterval(doctor.look, DOCTOR_EVERY_MS);
  doctor.look();
  return () => { end(); clearInterval(timer); };
}

function heroPart() {
  const mark = h("span", { class: "hero-mark" });
  const title = h("p", { class: "hero-title" });
  const text = h("p", { class: "hero-text" });
  const facts = h("p", { class: "hero-facts muted" });
  const node = h("section", { class: "hero", "aria-live": "polite", "aria-label": "Health" }, mark, h("div", {}, title, text, facts));
  let kind = "";
  return { node, update({ status, nodes }) {
    const words = inWords(status, nodes);
    if (kind !== words.kind) {
      kind = words.kind;
      node.className = `hero hero-${kind}`;
      fill(mark, icon(kind === "good" ? "check" : kind === "plain" ? "clock" : "warning", 26));
    }
    say(title, words.title);
    say(text, words.text);
    if (status) say(facts, `${status.leader ? `${status.leader} leads` : "no leader"} · term ${status.log?.term ?? "–"} · position ${count(status.seq)} · version ${status.version}${status.log && !status.log.fsync ? " · fsync is off: acknowledged writes may be lost in a power cut" : ""}`);
  } };
}

function stat(label, withSpark) {
  const value = h("dd", { class: "stat-value" }, "–");
  const note = h("dd", { class: "stat-note muted" });
  const line = withSpark ? spark(`${label} of the last minutes`) : null;
  const node = h("div", { class: "stat card-box" }, h("dt", {}, label), value, note, line?.node ? h("dd", { class: "stat-spark" }, line.node) : null);
  return { node, value, note, line };
}

function numbersPart() {
  const files = stat("Files"), space = stat("Stored"), room = stat("Free room");
  const taken = stat("Coming in", true), given = stat("Going out", true), changes = stat("Changes", true);
  const node = h("dl", { class: "stats" }, [files, space, room, taken, given, changes].map((one) => one.node));
  return { node, update({ status, nodes, rates, history }) {
    if (status) {
      const { usage, settings } = status;
      say(files.value, count(usage.files));
      say(files.note, `${count(usage.chunks)} chunks of up to ${size(settings.chunk_size)}`);
      say(space.value, size(usage.bytes));
      say(space.note, `in ${settings.replication} copies, equal bytes once: ${size(usage.chunk_bytes * settings.replication)}`);
    }
    const told = (nodes?.nodes ?? []).filter((one) => one.told?.total_bytes);
    if (told.length) {
      const free = told.reduce((sum, one) => sum + one.told.free_bytes, 0), all = told.reduce((sum, one) => sum + one.told.total_bytes, 0);
      say(room.value, size(free));
      say(room.note, `on the ${told.length === 1 ? "disk of 1 node" : `disks of ${told.length} nodes`}, ${percent(free, all)} % of ${size(all)}`);
    }
    say(taken.value, rate(rates.received));
    say(given.value, rate(rates.sent));
    say(changes.value, `${rates.changes < 10 ? rates.changes.toFixed(1) : Math.round(rates.changes)}/s`);
    say(changes.note, `${Math.round(rates.requests)} requests/s in all`);
    say(taken.note, "bodies of users' requests");
    say(given.note, "bodies of answers");
    taken.line.update(history.map((one) => one.received));
    given.line.update(history.map((one) => one.sent));
    changes.line.update(history.map((one) => one.changes));
  } };
}

function nodeChip() {
  const dot = h("span", { class: "dot" }), name = h("strong"), text = h("span", { class: "muted" });
  const node = h("a", { class: "chip", href: "#/nodes" }, dot, name, text);
  return { node, update(one) {
    const [word, kind] = nodeState(one);
    dot.className = `dot dot-${kind}`;
    say(name, one.name);
    say(text, `${word}${one.leader ? ", leads" : ""}`);
  } };
}

function repairPart() {
  const text = h("p", {}), whole = bar("chunks with all copies"), note = h("p", { class: "muted" });
  const node = card("Copies and repair", text, whole.node, note, h("p", { class: "after" }, h("a", { href: "#/jobs" }, "Jobs and queues")));
  return { node, update({ status }) {
    const told = status?.repair;
    if (!told) return;
    const copies = told.copies;
    say(text, !copies || !copies.chunks ? "No chunks yet: small files live in the metadata." : `${count(copies.whole)} of ${count(copies.chunks)} chunks have all their copies.`);
    whole.set(copies?.chunks ? percent(copies.whole, copies.chunks) : 100, copies && copies.whole < copies.chunks ? "warn" : "good");
    const busy = told.queued + told.running;
    say(note, `${busy ? `${count(busy)} jobs, ${count(told.running)} running${told.rate ? `, ${rate(told.rate)}` : ""}${told.left_s ? `, about ${span(told.left_s)} left` : ""}` : waitsForRepair(copies) ? "No job for the others yet: the doctor says why" : "Nothing to repair"} · ${count(told.done)} done, ${count(told.stolen)} stolen${told.stuck ? ` · ${count(told.stuck)} stuck` : ""}`);
  } };
}

function doctorPart() {
  const list = h("div", { class: "findings" }), when = h("p", { class: "muted after" });
  const node = card("What the doctor says", list, when);
  let asking = false, lastShape = "";
  const look = async () => {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const told = await get("/v1/doctor");
      fill(list, told.findings.length ? told.findings.map(finding) : h("p", { class: "verdict good" }, icon("check"),
        h("span", {}, `Nothing to do. Looked at: ${told.checked.join(", ")}.`)));
      say(when, `Asked ${ago(told.at)}.`);
    } catch (error) {
      say(when, `The doctor could not be asked: ${error.message}`);
    }
    asking = false;
  };
  /** Look at once when a node or the leader changed. */
  const noticed = (status) => {
    const shape = JSON.stringify([status.leader, status.nodes.map((one) => [one.name, one.state, one.connected])]);
    if (lastShape && shape !== lastShape) look();
    lastShape = shape;
  };
  return { node, look, noticed };
}

function finding(one) {
  const kind = { critical: "bad", warning: "warn", note: "plain" }[one.severity];
  return h("article", { class: "finding" }, badge(one.severity, kind), h("div", {}, h("p", {}, one.message), h("p", { class: "muted" }, one.advice)));
}
