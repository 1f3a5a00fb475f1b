// Users, rights, buckets; one's own tokens, keys and password.
import { del, get, patch, post, put, query } from "./api.js";
import { fill, h } from "./dom.js";
import { ago, count, listed, size, time } from "./format.js";
import { ask, attempt, badge, button, card, choice, confirm, empty, passwordInput, row, showOnce, table, textInput } from "./ui.js";

const PAGE = 500;
const ROLES = [["user", "user"], ["readonly", "read-only"], ["admin", "admin"]];

export function show(place, { session }) {
  const isAdmin = session.role === "admin";
  place.append(h("div", { class: "page-head" }, h("h1", {}, "People")), isAdmin ? users() : [], buckets(), account(session), tokens(), keys());
  return null;
}

/** A card whose content is loaded, and loaded again after each change. */
function loaded(title, head, load) {
  const body = h("div", { class: "stack" }, h("p", { class: "muted waiting" }, "Looking …"));
  const again = async () => {
    try { fill(body, await load(again)); } catch (error) { fill(body, h("p", { class: "muted" }, error.message)); }
  };
  again();
  return h("section", { class: "card-box" }, h("div", { class: "page-head" }, h("h2", {}, title), h("div", { class: "actions" }, head(again))), body);
}

function users() {
  return loaded("Users", (again) => button("Add a user", async () => {
    const told = await ask("Add a user", { name: ["Name", textInput({ required: true, autocapitalize: "none" })], role: ["Role", choice(ROLES, "user")],
      password: ["Password", passwordInput(), "Empty: no password; make a token for the user instead."] }, { verb: "Add" });
    if (told && await attempt(() => post("/v1/admin/users", { name: told.name.trim(), role: told.role, ...(told.password ? { password: told.password } : {}) }), `${told.name.trim()} is a user now, with a bucket of the same name.`)) await again();
  }, { kind: "primary", mark: "plus" }), async (again) => {
    const { users: people, after } = await get(`/v1/admin/users${query({ limit: PAGE })}`);
    return [table("Users", ["Name", "Role", "Uses", "Limit", "Logs in by", ""], people.map((one) => userRow(one, again))), rest(after, "fluffy users")];
  });
}

/** Of very many only the first are shown; the others by the shell. */
function rest(after, command) { return after ? h("p", { class: "muted small" }, `The first ${count(PAGE)} are shown, up to ${after}; “${command}” lists all.`) : null; }

function userRow(one, again) {
  const act = (body, said) => attempt(() => patch(`/v1/admin/users/${encodeURIComponent(one.name)}`, body), said).then((done) => done && again());
  const ways = [one.has_password ? "password" : null, one.tokens ? `${one.tokens} token${one.tokens === 1 ? "" : "s"}` : null].filter(Boolean);
  return row(h("span", {}, h("strong", {}, one.name), " ", one.disabled ? badge("disabled", "bad") : null), Object.fromEntries(ROLES)[one.role] ?? one.role, `${count(one.quota.files)} files, ${size(one.quota.bytes)}`,
    one.quota.bytes_max === null ? "none" : size(one.quota.bytes_max), listed(ways) || "nothing", h("div", { class: "actions" },
      one.role === "supernode" ? null : button("Role", async () => {
        const told = await ask(`Role of ${one.name}`, { role: ["Role", choice(ROLES, one.role)] });
        if (told) await act({ role: told.role }, `${one.name} is ${told.role} now.`);
      }, { small: true, title: `Role of ${one.name}` }),
      button("Password", async () => {
        const told = await ask(`Password of ${one.name}`, { password: ["New password", passwordInput(), "Empty: takes the password away."] });
        if (told) await act({ password: told.password || null }, "Done.");
      }, { small: true, title: `Password of ${one.name}` }),
      button("Limit", () => limit(one, again), { small: true, title: `Limit of ${one.name}` }),
      button("Token", () => newToken(one.name).then(again), { small: true, title: `Make a token for ${one.name}` }),
      button(one.disabled ? "Enable" : "Disable", () => act({ disabled: !one.disabled }, one.disabled ? `${one.name} may come in again.` : `${one.name} is locked out.`), { small: true, title: `${one.disabled ? "Enable" : "Disable"} ${one.name}` }),
      button("Remove", () => removeUser(one, again), { small: true, kind: "danger", title: `Remove ${one.name}` })));
}

async function limit(one, again) {
  const input = textInput({ type: "number", min: "0", step: "any", value: one.quota.bytes_max === null ? "" : String(one.quota.bytes_max / 1024 ** 3) });
  const told = await ask(`Limit of ${one.name}`, { gib: ["GiB", input, "Empty: no limit."] });
  if (told && await attempt(() => put("/v1/admin/quotas", { subject: "user", name: one.name, bytes_max: told.gib === "" ? null : Math.round(Number(told.gib) * 1024 ** 3) }), "The limit is set.")) await again();
}

async function removeUser(one, again) {
  const heir = textInput();
  const told = await ask(`Remove ${one.name}?`, { heir: ["Who gets buckets that are not empty", heir, "Empty: refuse when there are any."] }, { verb: "Remove", kind: "danger", intro: "Tokens, keys and rights of the user end." });
  if (told && await attempt(() => del(`/v1/admin/users/${encodeURIComponent(one.name)}${query({ give_to: told.heir.trim() })}`), `${one.name} is not a user any more.`)) await again();
}

function buckets() {
  return loaded("Buckets and rights", () => null, async (again) => {
    const { buckets: all, after } = await get(`/v1/admin/buckets${query({ limit: PAGE })}`);
    if (!all.length) return empty("folder", "No bucket that you administer");
    return [table("Buckets", ["Bucket", "Owner", "Holds", "Keeps", "Rights of others", ""], all.map((one) => row(
      h("a", { href: `#/files/${encodeURIComponent(one.name)}` }, one.name), one.owner, `${count(one.quota.files)} files, ${size(one.quota.bytes)}`,
      `${one.holds.replication} copies, ${one.holds.versions_max} versions, trash ${one.holds.trash_days} days`,
      h("div", { class: "actions" }, one.grants.map((grant) => grantTag(one, grant, again))),
      h("div", { class: "actions" }, button("Give a right", () => giveRight(one, again), { small: true, title: `Give a right in ${one.name}` }), button("Rules", () => rules(one, again), { small: true, title: `Rules of ${one.name}` }))))), rest(after, "fluffy ls /")];
  });
}

function grantTag(bucket, grant, again) {
  const who = grant.user ?? grant.grantee ?? "everyone";
  return h("span", { class: "tag" }, `${who}: ${grant.right}`, h("button", { type: "button", class: "btn-plain", "aria-label": `Take the right of ${who} in ${bucket.name} back`, on: { click: async () => {
    if (!await confirm("Take the right back?", [h("p", {}, `${who} may not ${grant.right} in ${bucket.name} any more.`)], { verb: "Take it back", kind: "danger" })) return;
    if (await attempt(() => del(`/v1/admin/grants${query({ bucket: bucket.name, user: who })}`), "Done.")) await again();
  } } }, "×"));
}

async function giveRight(one, again) {
  const told = await ask(`A right in ${one.name}`, { user: ["User", textInput({ required: true, placeholder: "a name, or everyone" })], right: ["May", choice([["read", "read"], ["write", "write"], ["admin", "administer"]], "read")] }, { verb: "Give it" });
  if (told && await attempt(() => post("/v1/admin/grants", { bucket: one.name, user: told.user.trim(), right: told.right }), "Given.")) await again();
}

async function rules(one, again) {
  const number = (value, hint) => textInput({ type: "number", min: "0", value: value ?? "", placeholder: String(hint) });
  const told = await ask(`Rules of ${one.name}`, { trash_days: ["Days in the trash", number(one.trash_days, one.holds.trash_days)], versions_max: ["Versions of a file", number(one.versions_max, one.holds.versions_max)],
    replication: ["Copies", number(one.replication, one.holds.replication)] }, { intro: "Empty: as the cluster's configuration says." });
  if (!told) return;
  const body = Object.fromEntries(Object.entries(told).map(([key, value]) => [key, value === "" ? null : Number(value)]));
  if (await attempt(() => put(`/v1/admin/buckets/${encodeURIComponent(one.name)}`, body), "The rules hold now.")) await again();
}

function account(session) {
  return card(`You are ${session.user}`, h("p", { class: "muted" }, `Role: ${session.role}. The session ends ${time(session.expires)}.`), h("div", { class: "actions" },
    button("Change the password", async () => {
      const told = await ask("Change your password", { old: ["Old password", passwordInput({ autocomplete: "current-password" }), "Empty when you have none yet."], new: ["New password", passwordInput({ required: true })] });
      if (told) await attempt(() => put("/v1/password", { old: told.old, new: told.new }), "The password is changed.");
    })));
}

async function newToken(user) {
  const told = await ask(user ? `A token for ${user}` : "A token for a program", { label: ["What it is for", textInput({ required: true })], days: ["Days that it lasts", textInput({ type: "number", min: "1", placeholder: "for ever" })] }, { verb: "Make it" });
  if (!told) return;
  const made = await attempt(() => post("/v1/tokens", { label: told.label, ...(told.days ? { ttl_s: Number(told.days) * 86400 } : {}), ...(user ? { user } : {}) }));
  if (made) await showOnce("The token", "It is shown only now.", [["Token", made.token]]);
}

function tokens() {
  return loaded("Your tokens", (again) => button("Make a token", () => newToken().then(again), { mark: "plus" }), async (again) => {
    const { tokens: all } = await get("/v1/tokens");
    return table("Tokens", ["For", "Made", "Ends", ""], all.map((one) => row(h("span", {}, one.label || "–", " ", one.current ? badge("this session", "accent") : null), ago(one.created), one.expired ? badge("over") : one.expires ? time(one.expires) : "never",
      one.current ? "" : button("End", async () => {
        if (!await confirm("End this token?", [h("p", {}, `Programs that use ${one.label || "it"} lose their access.`)], { verb: "End it", kind: "danger" })) return;
        if (await attempt(() => del(`/v1/tokens/${one.token_id}`), "The token is no longer valid.")) await again();
      }, { small: true, kind: "danger", title: `End the token ${one.label}` }))));
  });
}

function keys() {
  return loaded("Your keys for S3", (again) => button("Make a key", async () => {
    const told = await ask("A key pair for S3", { label: ["What it is for", textInput({ required: true })] }, { verb: "Make it" });
    const made = told && await attempt(() => post("/v1/keys", { label: told.label }));
    if (made) { await showOnce("The key pair", "The secret is shown only now.", [["Access key", made.access_key], ["Secret key", made.secret ?? made.secret_key]]); await again(); }
  }, { mark: "plus" }), async (again) => {
    const { keys: all } = await get("/v1/keys");
    if (!all.length) return h("p", { class: "muted" }, "None. Programs that speak S3 need one.");
    return table("Keys", ["Access key", "For", "Made", ""], all.map((one) => row(h("span", { class: "mono" }, one.access_key), one.label || "–", ago(one.created), button("End", async () => {
      if (!await confirm("End this key?", [h("p", {}, "Programs that sign with it lose their access.")], { verb: "End it", kind: "danger" })) return;
      if (await attempt(() => del(`/v1/keys/${encodeURIComponent(one.access_key)}`), "The key is no longer valid.")) await again();
    }, { small: true, kind: "danger", title: `End the key ${one.access_key}` }))));
  });
}
