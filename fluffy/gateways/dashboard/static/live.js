// What the node tells while the page is looked at: status, nodes and jobs, and rates worked out from them.

const HISTORY = 90;
const LOST_AFTER_MS = 2500;

export const live = {
  status: null, nodes: null, jobs: null, failures: {}, connected: false, lostSince: null,
  rates: { received: 0, sent: 0, requests: 0, changes: 0 }, history: [], steals: [],
};

const listeners = new Set();
let source = null;
let lastNodes = new Map();
let lastSeq = null;
let lastQueues = new Map();
let wanted = false;

/** Call `listener(live, what)` now and with all news; gives what ends it. */
export function onLive(listener) {
  listeners.add(listener);
  listener(live, "begin");
  return () => listeners.delete(listener);
}

function tell(what) { for (const listener of [...listeners]) listener(live, what); }

export function startLive() {
  wanted = true;
  if (source || document.hidden) return;
  source = new EventSource("/v1/live");
  source.addEventListener("open", () => { live.connected = true; live.lostSince = null; tell("connection"); });
  for (const [name, take] of Object.entries({ status: takeStatus, nodes: takeNodes, jobs: takeJobs })) {
    source.addEventListener(name, (event) => {
      const value = JSON.parse(event.data);
      if (value.error) live.failures[name] = value.error;
      else { delete live.failures[name]; take(value); }
      tell(name);
    });
  }
  source.addEventListener("error", (event) => {
    if (event.data) {
      const { error } = JSON.parse(event.data);
      if (error.code === "Unauthenticated") { stopLive(); dispatchEvent(new Event("fluffy:logged-out")); return; }
    }
    live.connected = false;
    live.lostSince ??= Date.now();
    if (source?.readyState === EventSource.CLOSED) { source = null; setTimeout(() => wanted && startLive(), 1500); }
    tell("connection");
  });
}

export function stopLive() { wanted = false; source?.close(); source = null; }

/** Whether the node has not been heard of for long enough to say so. */
export function isLost() { return !live.connected && live.lostSince !== null && Date.now() - live.lostSince > LOST_AFTER_MS; }

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { source?.close(); source = null; } else if (wanted) startLive();
});
setInterval(() => { if (live.lostSince) tell("connection"); }, 1000);

function takeStatus(value) {
  const now = performance.now();
  if (lastSeq && value.seq >= lastSeq.seq && now > lastSeq.at) {
    live.rates.changes = (1000 * (value.seq - lastSeq.seq)) / (now - lastSeq.at);
  }
  lastSeq = { seq: value.seq, at: now };
  live.status = value;
  live.history.push({ received: live.rates.received, sent: live.rates.sent, changes: live.rates.changes });
  if (live.history.length > HISTORY) live.history.shift();
}

/** A second look at what a node counts gives its rates; a node that began anew counts from nothing. */
function takeNodes(value) {
  const now = performance.now();
  const seen = new Map();
  const sums = { received: 0, sent: 0, requests: 0 };
  for (const node of value.nodes) {
    if (!node.told) continue;
    const before = lastNodes.get(node.name);
    const seconds = before ? (now - before.at) / 1000 : 0;
    const rateOf = (name) => (seconds > 0 ? Math.max(0, node.told[name] - before.told[name]) / seconds : 0);
    node.rates = { received: rateOf("received_bytes"), sent: rateOf("sent_bytes"), requests: rateOf("requests") };
    for (const name of Object.keys(sums)) sums[name] += node.rates[name];
    seen.set(node.name, { told: node.told, at: now });
  }
  lastNodes = seen;
  Object.assign(live.rates, sums);
  live.nodes = value;
}

function takeJobs(value) {
  for (const queue of value.queues) {
    const before = lastQueues.get(queue.node);
    if (before !== undefined && queue.stolen_in > before) {
      const from = [...new Set(value.jobs.filter((job) => job.node === queue.node && job.stolen_from)
        .map((job) => job.stolen_from))];
      live.steals.unshift({ at: new Date().toISOString(), node: queue.node, from, count: queue.stolen_in - before });
      live.steals.length = Math.min(live.steals.length, 30);
    }
    lastQueues.set(queue.node, queue.stolen_in);
  }
  live.jobs = value;
}
