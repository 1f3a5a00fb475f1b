// The frame: who is logged in, the menu, which page is shown, what is said when the node is gone.
import { addressOf, del, get, setCsrf } from "./api.js";
import { fill, h, icon, say } from "./dom.js";
import { inWords, nodeState } from "./health.js";
import { isLost, live, onLive, startLive, stopLive } from "./live.js";
import { loginPage } from "./login.js";
import { attempt, iconButton } from "./ui.js";

const PAGES = [
  ["overview", "Overview", "home", () => import("./overview.js")],
  ["files", "Files", "folder", () => import("./files.js")],
  ["nodes", "Nodes", "server", () => import("./nodes.js")],
  ["jobs", "Jobs", "jobs", () => import("./jobs.js")],
  ["topology", "Topology", "topology", () => import("./topology.js")],
  ["federation", "Federation", "globe", () => import("./federation.js")],
  ["people", "People", "people", () => import("./people.js")],
  ["audit", "Audit", "shield", () => import("./audit.js"), "admin"],
];

const app = document.getElementById("app");
let session = null;
let leavePage = null;
let frame = null;
let shown = 0;

async function begin() {
  try {
    session = await get("/v1/session");
    if (!session.user) { showLogin(); return; }
  } catch (error) {
    showLogin(error.status === 401 || error.status === 403 ? "" : error.message);
    return;
  }
  setCsrf(session.csrf);
  showFrame();
}

function showLogin(problem = "") {
  stopLive();
  leavePage?.();
  leavePage = frame = session = null;
  fill(app, loginPage(problem, begin));
}

function showFrame() {
  document.title = `${session.cluster} · Fluffy`;
  frame = buildFrame();
  fill(app, frame.node);
  onLive(frame.update);
  startLive();
  route();
}

function buildFrame() {
  const links = PAGES.filter(([, , , , role]) => !role || role === session.role).map(([name, title, mark]) =>
    h("a", { class: "nav-line", href: `#/${name}`, data: { page: name } }, icon(mark), h("span", {}, title)));
  const menu = h("nav", { class: "menu", id: "menu", "aria-label": "Pages" }, links);
  const dot = h("span", { class: "dot" });
  const health = h("span", { class: "health-word" });
  const banner = h("div", { class: "lost", role: "alert", hidden: true });
  const main = h("main", { id: "main", tabindex: "-1" });
  const toggle = iconButton("menu", "Menu", () => setMenu(!menu.classList.contains("open")), {
    "aria-expanded": "false", "aria-controls": "menu", class: "btn-plain only-narrow" });
  const setMenu = (isOpen) => { menu.classList.toggle("open", isOpen); toggle.setAttribute("aria-expanded", String(isOpen)); };
  menu.addEventListener("click", () => setMenu(false));
  menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { setMenu(false); toggle.focus(); } });
  const head = h("header", { class: "top" },
    toggle,
    h("a", { class: "brand", href: "#/overview" }, h("span", { class: "brand-mark", "aria-hidden": "true" }), h("span", {}, session.cluster)),
    h("a", { class: "health-chip", href: "#/overview" }, dot, health),
    h("span", { class: "top-space" }),
    h("span", { class: "who muted", title: `on node ${session.node}` }, `${session.user} on ${session.node}`),
    iconButton("moon", "Light or dark", switchTheme),
    iconButton("leave", "Log out", logOut));
  const node = h("div", { class: "frame" }, head, menu, h("div", { class: "content" }, banner, main));
  const update = (state) => {
    const words = inWords(state.status, state.nodes);
    dot.className = `dot dot-${isLost() ? "bad" : words.kind}`;
    say(health, isLost() ? "no connection" : words.title);
    showTrouble(banner);
  };
  return { node, main, links, update };
}

/** This node is gone: say so, and where to go on. Or it cannot tell something: say what. */
function showTrouble(banner) {
  const [failed] = Object.values(live.failures);
  const trouble = isLost() ? "lost" : failed ? failed.message : "";
  if (banner.dataset.trouble === trouble) return;
  banner.dataset.trouble = trouble;
  banner.hidden = !trouble;
  if (trouble && !isLost()) fill(banner, icon("warning"), h("span", {}, `Some of what you see is not of now: ${trouble}`));
  if (!isLost()) return;
  const others = (live.status?.nodes ?? []).filter((node) => node.name !== session.node && nodeState(node)[1] === "good");
  fill(banner, icon("warning"), h("span", {}, `Node ${session.node} does not answer. Trying again …`),
    others.map((node) => h("a", { class: "btn btn-sm btn-quiet", href: addressOf(node) }, `Go on at ${node.name}`)));
}

function switchTheme() {
  localStorage.setItem("fluffy.theme", document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark");
  dispatchEvent(new Event("fluffy:theme"));
}

async function logOut() {
  await attempt(() => del("/v1/session"));
  location.hash = "";
  showLogin();
}

/** Show the page that the address names: #/PAGE/REST. */
async function route() {
  if (!frame) return;
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const entry = PAGES.find(([page]) => page === name) ?? PAGES[0];
  const turn = shown += 1;
  const module = await entry[3]();
  if (turn !== shown || !frame) return;
  leavePage?.();
  leavePage = null;
  for (const link of frame.links) {
    if (link.dataset.page === entry[0]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const place = h("div", { class: `page page-${entry[0]}` });
  fill(frame.main, place);
  document.title = `${entry[1]} · ${session.cluster} · Fluffy`;
  leavePage = module.show(place, { session, rest: rest.map(decodeURIComponent) }) ?? null;
  window.scrollTo(0, 0);
}

/** Another tab may have logged out, or in as somebody else: show what that one may see, not a mixture. */
async function lookWhoIsHere() {
  if (document.hidden || !session) return;
  const now = await get("/v1/session").catch((error) => { if (error.status || error.code === "Away") return null; throw error; });
  if (!now || !session || now.csrf === session.csrf) return;
  if (now.user) location.reload();
  else dispatchEvent(new Event("fluffy:logged-out"));
}

document.addEventListener("visibilitychange", lookWhoIsHere);
addEventListener("hashchange", route);
addEventListener("fluffy:logged-out", () => session && showLogin("Your session has ended; log in again."));
begin();
