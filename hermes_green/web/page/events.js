// Events: what happens in the gateway, as it happens; bounded, and held still where it is to be read.
import { $, make } from "./dom.js";
import { onLanguage, t } from "./text.js";
import { exactly } from "./times.js";

const BOUND = 300;
// Said already by others of the same event.
const LEFT_OUT = ["platform", "account", "session_key"];
let held = null; // events that came while the list is held still
let missed = 0;

export function heard(event) {
  if (held === null) return put(event);
  held.push(event);
  missed += 1;
  if (held.length > BOUND) held.shift();
  told();
}

function put(event) {
  const list = $("event-list");
  list.prepend(item(event));
  while (list.children.length > BOUND) list.lastElementChild.remove();
}

function item(event) {
  const facts = Object.entries(event.data || {})
    .filter(([name, value]) => !LEFT_OUT.includes(name) && value !== null && value !== undefined && value !== "")
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return make("li", {}, make("time", { datetime: event.at }, exactly(event.at)), make("b", {}, event.name),
    make("span", { class: "quote" }, facts.join(" · ")));
}

function told() {
  $("events-pause").textContent = t(held === null ? "events.pause" : "events.resume");
  $("events-held").textContent = held !== null && missed ? t("events.held", { count: missed }) : "";
  $("events-about").textContent = t("events.about", { bound: BOUND });
}

$("events-pause").addEventListener("click", () => {
  if (held === null) held = [];
  else {
    const came = held;
    held = null;
    missed = 0;
    for (const event of came) put(event);
  }
  told();
});
$("events-clear").addEventListener("click", () => {
  $("event-list").replaceChildren();
  if (held !== null) held = [];
  missed = 0;
  told();
});
onLanguage(told);
told();
