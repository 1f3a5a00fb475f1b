// Background work as it happens: queues, jobs, steals, and how fast it may be.
import { get, post } from "./api.js";
import { scrub, setRepairMode } from "./acts.js";
import { fill, h, keyed, say } from "./dom.js";
import { ago, count, percent, rate, several, size, span } from "./format.js";
import { waitsForRepair } from "./health.js";
import { onLive } from "./live.js";
import { attempt, badge, bar, button, card, choice, confirm, dialog, empty, field } from "./ui.js";

const SHOWN = 60;

export function show(place, { session }) {
  const isAdmin = session.role === "admin";
  const sum = h("p", { role: "status" }), whole = bar("chunks with all copies"), note = h("p", { class: "muted" });
  const queues = h("div", { class: "queue-grid" }), steals = h("ol", { class: "feed" }), jobs = h("div", { class: "job-lines" });
  const noJobs = empty("check", "Nothing to do", "Jobs appear here when copies are missing, nodes are emptied, or a scrub is asked for.");
  const noSteals = h("p", { class: "muted" }, "No job has been stolen since this page was opened.");
  const jobsNote = h("p", { class: "muted small" });
  const mode = choice([["", "as configured"], ["quiet", "quiet"], ["balanced", "balanced"], ["fast", "fast"]], "");
  mode.addEventListener("change", () => setRepairMode(mode.value));
  const retry = button("Try stuck jobs again", async () => {
    const sure = await confirm("Try stuck jobs again?", [h("p", {}, "All jobs that are stuck begin afresh.")], { verb: "Try again" });
    if (sure) await attempt(() => post("/v1/jobs/retry"), (told) => `${several(told.retried, "job")} begin afresh.`);
  }, { mark: "play" });
  place.append(
    h("div", { class: "page-head" }, h("h1", {}, "Jobs"), isAdmin ? h("div", { class: "actions" }, retry, button("Scrub", () => scrub(), { mark: "search" })) : null),
    h("div", { class: "two" }, card("Repair", sum, whole.node, note, isAdmin ? field("How much repair may take", mode) : null), card("Steals", steals, noSteals)),
    card("Queues", queues), card("Jobs now", jobsNote, jobs, noJobs));
  return onLive(({ status, jobs: told, steals: seen }) => {
    if (status?.keeper?.mode && document.activeElement !== mode) mode.options[0].textContent = `as configured (now: ${status.keeper.mode})`;
    if (!told) return;
    drawSum(told.repair, sum, whole, note);
    retry.disabled = !told.repair.stuck;
    keyed(queues, told.queues.length ? told.queues : [], (queue) => queue.node, queueCard);
    keyed(jobs, told.jobs.slice(0, SHOWN), (job) => job.job, jobLine);
    noJobs.hidden = told.jobs.length > 0;
    say(jobsNote, told.jobs.length > SHOWN || told.after ? `The first ${SHOWN} of ${count(told.repair.queued + told.repair.running + told.repair.stuck)}.` : "");
    noSteals.hidden = seen.length > 0;
    keyed(steals, seen.slice(0, 8), (one) => one.at + one.node, stealLine);
  });
}

function drawSum(repair, sum, whole, note) {
  const copies = repair.copies, busy = repair.queued + repair.running;
  say(sum, busy ? `${several(busy, "job")}: ${count(repair.running)} running, ${count(repair.queued)} waiting${repair.left_s ? `, about ${span(repair.left_s)} left` : ""}.` : repair.stuck ? `${several(repair.stuck, "job")} stuck.` : waitsForRepair(copies) ? "Copies are missing, and no job makes them yet: the doctor on the overview says why." : "Nothing to repair.");
  whole.set(copies?.chunks ? percent(copies.whole, copies.chunks) : 100, copies && copies.whole < copies.chunks ? "warn" : "good");
  say(note, `${copies?.chunks ? `${count(copies.whole)} of ${count(copies.chunks)} chunks have all copies` : "no chunks yet"} · ${repair.rate ? `${rate(repair.rate)} · ` : ""}${count(repair.done)} done · ${count(repair.stolen)} stolen`);
}

function queueCard(first) {
  const pills = h("span", { class: "pills" }), text = h("p", { class: "small" }), more = h("p", { class: "muted small" }), dots = h("div", { class: "lease-dots", "aria-hidden": "true" });
  const node = h("article", { class: "queue" }, h("header", {}, h("h3", {}, first.node), pills), dots, text, more);
  let shape = "";
  return { node, update(queue) {
    const wanted = `${queue.leased}/${queue.stuck}/${queue.queued > 0}`;
    if (wanted !== shape) {
      shape = wanted;
      fill(pills, queue.leased ? badge(`${queue.leased} running`, "accent") : badge("idle"), queue.stuck ? badge(`${queue.stuck} stuck`, "bad") : null);
    }
    fillDots(dots, queue.leased, queue.queued);
    say(text, queue.queued ? `${count(queue.queued)} waiting, ${size(queue.queued_bytes)}${queue.wait_s ? `, ${span(queue.wait_s)}` : ""}` : "nothing waits");
    say(more, `${count(queue.done)} done (${size(queue.done_bytes)})${queue.rate ? ` at ${rate(queue.rate)}` : ""} · stole ${count(queue.stolen_in)}, lost ${count(queue.stolen_out)}${queue.failed ? ` · ${count(queue.failed)} failed` : ""}`);
  } };
}

/** A dot for each job, filled while it runs; of long queues the beginning. */
export function fillDots(node, leased, queued) {
  const wanted = Math.min(48, leased + queued);
  while (node.childElementCount > wanted) node.lastElementChild.remove();
  while (node.childElementCount < wanted) node.append(h("i"));
  [...node.children].forEach((dot, index) => { dot.className = index < leased ? "is-leased" : ""; });
}

function jobLine(first) {
  const pills = h("span", { class: "pills" }), text = h("p", { class: "clip" }), more = h("p", { class: "muted small" });
  const node = h("button", { class: "job", type: "button", "aria-label": `Job ${first.job}`, on: { click: () => explain(first.job) } }, h("span", { class: "job-no muted" }, `#${first.job}`), h("span", { class: "job-text" }, text, more), pills);
  let shape = "";
  return { node, update(job) {
    say(text, `${job.kind} on ${job.node} · ${job.why}`);
    say(more, `${size(job.bytes)}${job.stolen_from ? ` · stolen from ${job.stolen_from}` : ""}${job.state === "leased" && job.lease_ends_s !== null ? ` · lease ends in ${job.lease_ends_s} s` : ""}${job.blocked ? ` · ${job.blocked}` : job.done_in_s !== null ? ` · done in about ${span(job.done_in_s)}` : ""}${job.error ? ` · ${job.error}` : ""}`);
    if (shape !== job.state) { shape = job.state; fill(pills, badge({ leased: "running", queued: "waits", stuck: "stuck" }[job.state], { leased: "accent", stuck: "bad" }[job.state])); }
  } };
}

function stealLine(first) {
  const when = h("span", { class: "muted small" });
  const node = h("li", {}, h("span", {}, h("strong", {}, first.node), ` took ${several(first.count, "job")}${first.from.length ? ` from ${first.from.join(", ")}` : ""}`), when);
  return { node, update: (one) => say(when, ago(one.at)) };
}

function explain(no) {
  return dialog(`Job ${no}`, () => {
    const body = h("div", { class: "stack" }, h("p", { class: "muted waiting" }, "Asking …"));
    get(`/v1/jobs/${no}`).then((job) => fill(body, h("p", {}, job.does), job.blocked ? h("p", { class: "verdict warn" }, job.blocked) : null,
      h("dl", { class: "pairs" }, [["On", job.node], ["State", job.state], ["Why", job.why], ["Size", size(job.bytes)], ["Attempt", count(job.attempt)], ["Chunk", job.chunk ?? "none"],
        ["Copies", job.copies ? `${job.copies.living} of ${job.copies.wanted}: ${job.copies.on.map((one) => `${one.node} (${one.state})`).join(", ")}` : "–"],
        ["Files", job.files.names.length ? job.files.names.join(", ") : `${job.files.files} files`]].map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]))),
    (error) => fill(body, h("p", {}, error.status === 404 ? "It is done, or was not needed any more." : error.message)));
    return body;
  }, { wide: true });
}
