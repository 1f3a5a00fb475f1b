// What operators do to the cluster: each asks first, with what the doctor says of it.
import { del, get, post, put, query } from "./api.js";
import { h, icon } from "./dom.js";
import { several } from "./format.js";
import { attempt, confirm, textInput, field, toast } from "./ui.js";

const name = (text) => h("strong", {}, text);

/** What the doctor says of stopping a node, as nodes for a dialog. */
async function verdictOfStop(node) {
  const { stop } = await get(`/v1/doctor${query({ stop: node })}`);
  return [h("p", { class: `verdict ${stop.safe ? "good" : "warn"}` }, icon(stop.safe ? "check" : "warning"),
    h("span", {}, stop.safe ? "The doctor: it may go without harm." : "The doctor: not without harm now.")),
  h("ul", { class: "plain-list" }, stop.lines.map((line) => h("li", {}, line)))];
}

/** The same, and how far it is from being empty. */
async function verdictOfDrain(node) {
  const [lines, drained] = await Promise.all([verdictOfStop(node), get(`/v1/admin/nodes/${encodeURIComponent(node)}/drain`)]);
  return [...lines, h("p", {}, `To take it away for good now would be ${drained.verdict}.`)];
}

async function verdictNow() {
  const told = await get("/v1/doctor");
  const worst = told.findings.filter((finding) => finding.severity !== "note");
  return [h("p", { class: `verdict ${told.healthy ? "good" : "warn"}` }, icon(told.healthy ? "check" : "warning"),
    h("span", {}, told.healthy ? "The doctor: the cluster is in order." : `The doctor has ${several(worst.length, "finding")}.`)),
  h("ul", { class: "plain-list" }, worst.slice(0, 4).map((finding) => h("li", {}, finding.message)))];
}

export async function checkpoint(node) {
  const sure = await confirm("Make a checkpoint?", [h("p", {}, "Node ", name(node),
    " writes a copy of the cluster's state, so that its log can be shortened and it starts faster. Users notice nothing.")],
  { verb: "Make a checkpoint", wait: verdictNow() });
  if (sure) await attempt(() => post("/v1/admin/checkpoint"), (told) => `Checkpoint at position ${told.index} on ${told.node}.`);
}

export async function scrub(node) {
  const sure = await confirm(node ? `Scrub ${node}?` : "Scrub all nodes?", [h("p", {},
    node ? ["Node ", name(node), " reads"] : "Every node reads",
    " all it holds again and compares it with its hashes, at the pace that repair may take. A bad copy is set aside and made again.")],
  { verb: "Begin the scrub", wait: verdictNow() });
  if (sure) await attempt(() => post(`/v1/admin/scrub${query({ node })}`), (told) => `The scrub of ${several(told.nodes, "node")} begins.`);
}

export async function drain(node) {
  const sure = await confirm(`Empty ${node}?`, [h("p", {}, "All copies on ", name(node),
    " are moved to other nodes, and nothing new is put there. Reading and writing go on. You can stop this at any time.")],
  { verb: `Empty ${node}`, kind: "danger", wait: verdictOfDrain(node) });
  if (sure) await attempt(() => post(`/v1/admin/nodes/${encodeURIComponent(node)}/drain`), (told) => `${node}: ${told.verdict}.`);
}

export async function fillAgain(node) {
  const state = get(`/v1/admin/nodes/${encodeURIComponent(node)}/drain`).then((told) => h("p", { class: "verdict" }, `So far: ${told.verdict}.`));
  const sure = await confirm(`Stop emptying ${node}?`, [h("p", {}, name(node), " takes copies again.")], { verb: "Stop emptying", wait: state });
  if (sure) await attempt(() => post(`/v1/admin/nodes/${encodeURIComponent(node)}/drain`, { cancel: true }), `${node} takes copies again.`);
}

export async function recover(node) {
  const sure = await confirm(`Recover ${node}?`, [h("p", {}, "If ", name(node),
    " is here, it compares its disk with the catalog, and what it lacks is copied back. If it is away, the next new disk under its name is welcome for a day.")],
  { verb: `Recover ${node}`, wait: verdictNow() });
  if (sure) await attempt(() => post(`/v1/admin/recover/${encodeURIComponent(node)}`), (told) => `${told.does}.`);
}

export async function remove(node) {
  const address = `/v1/admin/nodes/${encodeURIComponent(node)}`;
  const told = await attempt(() => get(`${address}/drain`));
  if (!told) return;
  const isGivenUp = h("input", { type: "checkbox", class: "form-check-input" });
  const isDead = told.state === "down" && !told.safe;
  const typed = textInput({ placeholder: node, autocapitalize: "none" });
  const sure = await confirm(`Remove ${node} from the cluster?`, [
    h("p", { class: `verdict ${told.safe ? "good" : "warn"}` }, icon(told.safe ? "check" : "warning"), h("span", {}, `${node} is ${told.verdict}.`)),
    h("p", {}, `Its membership ends for good, and its process with it.${told.safe ? "" : " Empty it first."}`),
    isDead ? h("label", { class: "check-line" }, isGivenUp, ` It is lost and never comes back: give it up. What has too few copies then is copied from the others${told.only_here ? `; ${several(told.only_here, "piece")} of files had no other copy and are lost` : ""}.`) : null,
    field(`Type ${node} to be sure`, typed)], { verb: "Remove it", kind: "danger" });
  if (!sure) return;
  if (typed.value.trim() !== node) { toast("The name was not typed; nothing was done.", "note"); return; }
  await attempt(() => del(`${address}${query({ force: isGivenUp.checked ? 1 : null })}`), `${node} is not a member any more.`);
}

export async function setRepairMode(mode) {
  await attempt(() => put("/v1/admin/repair", { mode: mode || null }), mode ? `Repair is ${mode} on all nodes now.` : "Repair is as each configuration says.");
}
