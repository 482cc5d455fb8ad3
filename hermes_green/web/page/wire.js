// Wire: requests to the gateway, and the token that some gateways ask for.
import { $ } from "./dom.js";
import { known, t } from "./text.js";

let onEntry = () => {};

// Raises an Error with the sentence to show, `status` (none when nobody answered) and `data`.
export async function call(path, body, headers = {}) {
  const options = body === undefined
    ? {}
    : { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) };
  const response = await fetch(path, options).catch(() => { throw new Error(t("unreachable")); });
  const data = await response.json().catch(() => ({}));
  if (response.ok) return data;
  if (response.status === 401 && path !== "/api/login") askForToken();
  const said = data.error || {};
  const error = new Error(known(`error.${said.code}`, said.text || t("answered", { status: response.status })));
  error.status = response.status;
  error.data = data;
  throw error;
}

// A child's id may contain a slash, which stays one.
export function pathOf(id) {
  return id.split("/").map(encodeURIComponent).join("/");
}

export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

let entered = true;

function askForToken() {
  entered = false;
  if (!$("login").open) $("login").showModal();
}

// `entered` is called when the token was right.
export function guardEntry(entered) {
  onEntry = entered;
}

// There is nothing to see behind the question: whatever closed it, it stands until it is answered.
$("login").addEventListener("close", () => { if (!entered) askForToken(); });
$("login").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call("/api/login", { token: $("token").value });
    $("token").value = "";
    $("login-error").textContent = "";
    entered = true;
    $("login").close();
    onEntry();
  } catch (error) {
    $("login-error").textContent = error.message;
  }
});
