// The state of the cluster in words, from the live status; the doctor says the rest.
import { count, listed, several } from "./format.js";

/** Of a node: what to show for it. */
export function nodeState(node) {
  if (node.connected === false && node.state === "up") return ["does not answer", "bad"];
  return {
    up: ["up", "good"], suspect: ["suspect", "warn"], down: ["down", "bad"], draining: ["being emptied", "warn"],
    joining: ["joining", "plain"],
  }[node.state] ?? [node.state, "plain"];
}

/** Whether copies are missing. Without jobs for them: nobody can make them now, or not yet. */
export function waitsForRepair(copies) { return Boolean(copies && copies.whole < copies.chunks); }

// As the doctor judges (fluffy/core/health/checks_nodes.py).
const FREE_CRITICAL_PERCENT = 5;

/** Names of the nodes whose disks are nearly full. `told`: what the nodes tell of themselves, as /v1/nodes?ask=1 has it. */
function fullDisks(told) {
  return (told?.nodes ?? []).filter((node) => node.told?.total_bytes && 100 * node.told.free_bytes < FREE_CRITICAL_PERCENT * node.told.total_bytes).map((node) => node.name);
}

/** {kind: good | warn | bad, title, text} */
export function inWords(status, told) {
  if (!status) return { kind: "plain", title: "Looking …", text: "Asking the cluster how it is." };
  const nodes = status.nodes;
  const silent = nodes.filter((node) => nodeState(node)[1] === "bad" || node.state === "suspect").map((node) => node.name);
  const copies = status.repair?.copies;
  if (status.majority === false) {
    return { kind: "bad", title: "Fewer than a majority of the nodes are here",
      text: `Nothing can be written until more come back. Reading goes on. Missing: ${listed(silent) || "unknown"}.` };
  }
  if (!status.leader) {
    return { kind: "warn", title: "The cluster is choosing a leader", text: "Writes wait for a second or two. Reading goes on." };
  }
  if (copies?.lost) {
    return { kind: "bad", title: `${several(copies.lost, "piece")} of files cannot be read`,
      text: "No node that is known has a copy. The doctor below names the files." };
  }
  if (copies?.away) {
    return { kind: "bad", title: `${several(copies.away, "piece")} of files cannot be read now`,
      text: `The nodes that have them are away: ${listed(silent)}.` };
  }
  const full = fullDisks(told);
  if (full.length) {
    return { kind: full.length === nodes.length ? "bad" : "warn", title: `${full.length > 1 ? "The disks" : "The disk"} of ${listed(full)} ${full.length > 1 ? "are" : "is"} nearly full`,
      text: `${full.length === nodes.length ? "Large files are refused." : "New files go to the other nodes, as far as they can."} Delete files and empty the trash, or add a node.` };
  }
  if (silent.length) {
    return { kind: "warn", title: `${listed(silent)} ${silent.length > 1 ? "do" : "does"} not answer`,
      text: copies?.endangered ? `Everything can be read and written. ${several(copies.endangered, "piece")} of files have one copy left and are being copied.`
        : `Everything can be read and written. What ${silent.length > 1 ? "they hold" : "it holds"} is copied again if ${silent.length > 1 ? "they stay" : "it stays"} away and others can take it.` };
  }
  if (copies?.endangered || copies?.short) {
    const number = copies.endangered + copies.short;
    return { kind: "warn", title: `${several(number, "piece")} of files have too few copies`,
      text: "Everything can be read and written. The missing copies are being made." };
  }
  const draining = nodes.filter((node) => node.state === "draining").map((node) => node.name);
  if (draining.length) {
    return { kind: "good", title: "Everything is in order", text: `${listed(draining)} ${draining.length > 1 ? "are" : "is"} being emptied, as somebody asked.` };
  }
  const all = copies?.chunks ? `, and every piece of every file has its ${count(status.settings.replication)} copies` : "";
  return { kind: "good", title: "Everything is in order", text: `${several(nodes.length, "node")} ${nodes.length === 1 ? "is" : "are"} up${all}.` };
}
