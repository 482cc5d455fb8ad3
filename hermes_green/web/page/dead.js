// Dead: messages and replies that were given up, and what may still be done with them.
import { ask } from "./ask.js";
import { soon } from "./board.js";
import { $, button, lister, make } from "./dom.js";
import { notice } from "./pulse.js";
import { known, locale, onLanguage, t } from "./text.js";
import { clock } from "./times.js";
import { onView, refresh } from "./views.js";
import { call } from "./wire.js";

const LIMIT = 100;
const LONG = 200; // characters; more may have to be scrolled, which the keyboard can do too
let letters = [];
const list = lister($("dead-letters"), item);

async function load() {
  try {
    ({ dead: letters } = await call(`/api/dead?limit=${LIMIT}`));
    draw();
  } catch (error) {
    // That nobody answers stands in the head already.
    if (error.status && error.status !== 401) notice(error.message, true);
  }
}

function draw() {
  list(letters, locale());
  $("dead-more").textContent = letters.length >= LIMIT ? t("newest", { count: LIMIT }) : "";
}

function item(letter) {
  const verbs = ["retry", "drop"].map((verb) => button(t(`dead.${verb}`), () => settle(letter, verb), {
    "data-verb": verb, "aria-label": t(`dead.${verb}.of`, { id: letter.id }),
  }));
  return make("li", { "data-id": letter.id },
    make("div", { class: "head" }, make("span", {}, `${letter.child} · ${letter.chat_id}`),
      make("span", { class: "note" }, `${kindOf(letter)} ${letter.id} · ${clock(letter.at)}`)),
    make("p", { class: "why" }, letter.reason),
    make("p", { class: "quote", dir: "auto", tabindex: letter.text.length > LONG ? "0" : null }, letter.text),
    make("div", { class: "verbs" }, verbs));
}

function kindOf(letter) {
  return known(`dead.${letter.kind}`, letter.kind);
}

async function settle(letter, verb) {
  if (!await ask(t(`dead.${verb}.ask`, { kind: kindOf(letter) }), t(`dead.${verb}`), verb === "drop")) return;
  try {
    await call(`/api/dead/${encodeURIComponent(letter.id)}/${verb}`, {});
    notice(t(`dead.${verb}.done`, { id: letter.id }));
  } catch (error) {
    notice(error.message, true);
  }
  soon();
  await load();
  // The focus does not fall off the page with the button that had it.
  ($("dead-letters").querySelector("button") || $("show-dead")).focus();
}

// Told of every event: a letter more is seen at once.
export function deadHeard(event) {
  if (event.name.startsWith("delivery:dead")) refresh("dead");
}

onLanguage(draw);
onView("dead", load);
