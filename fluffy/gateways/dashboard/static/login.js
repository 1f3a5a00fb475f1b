// Who are you: a name and a password, or a token.
import { post } from "./api.js";
import { fill, h } from "./dom.js";
import { button, field, textInput } from "./ui.js";

/** `onlyToken`: of a supernode, which knows nobody's password. */
export function loginPage(problem, done, { onlyToken } = {}) {
  let byToken = Boolean(onlyToken);
  const said = h("p", { class: "problem", role: "alert", hidden: !problem }, problem);
  const user = textInput({ name: "user", autocomplete: "username", autocapitalize: "none", required: true });
  const password = textInput({ type: "password", name: "password", autocomplete: "current-password", required: true });
  const token = textInput({ type: "password", name: "token", autocomplete: "off", required: true });
  const fields = h("div", { class: "stack" });
  const go = button("Log in", null, { kind: "primary", type: "submit" });
  const other = button("Use a token", () => { byToken = !byToken; lay(); });
  const lay = () => {
    fill(fields, byToken ? field("Token", token, onlyToken ? "One that a cluster of this supernode knows." : "The admin's first token lies in admin.token (or CLUSTER.admin.token) in the cluster's folder.")
      : [field("Name", user), field("Password", password)]);
    other.lastElementChild.textContent = byToken ? "Use name and password" : "Use a token";
    (byToken ? token : user).focus();
  };
  const form = h("form", { class: "card-box stack login-card", on: { submit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    said.hidden = true;
    try {
      await post("/v1/session", byToken ? { token: token.value.trim() } : { user: user.value.trim(), password: password.value });
      await done();
    } catch (error) {
      said.textContent = error.status === 401 ? (byToken ? "No user has this token." : "Name or password is wrong.") : error.message;
      said.hidden = false;
      go.disabled = false;
    }
  } } },
  h("div", { class: "login-head" }, h("span", { class: "brand-mark large", "aria-hidden": "true" }), h("h1", {}, "Fluffy")),
  said, fields, h("div", { class: "actions" }, go, onlyToken ? null : other));
  lay();
  queueMicrotask(() => (byToken ? token : user).focus());
  return h("main", { class: "login", id: "main", tabindex: "-1" }, form);
}
