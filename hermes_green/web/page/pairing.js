// Pairing: strangers who wait with a code, and those who were let in; only where the gateway offers it.
import { ask } from "./ask.js";
import { $, button, lister, make } from "./dom.js";
import { notice } from "./pulse.js";
import { locale, onLanguage, t } from "./text.js";
import { clock } from "./times.js";
import { offer, onView, viewed } from "./views.js";
import { call } from "./wire.js";

const EVERY = 15000; // ms
let waiting = [];
let paired = [];
let timer = 0;

export async function pairing() {
  clearTimeout(timer);
  timer = setTimeout(pairing, document.hidden ? 4 * EVERY : EVERY);
  try {
    ({ waiting, paired } = await call("/api/pairing"));
    offer("pairing", true);
    draw();
  } catch (error) {
    if (error.status === 404) offer("pairing", false);
    else if (error.status && error.status !== 401 && viewed() === "pairing") notice(error.message, true);
  }
}

function draw() {
  drawWaiting(waiting, locale());
  drawPaired(paired, locale());
  $("pairing-count").textContent = waiting.length || "";
}

const drawWaiting = lister($("pairing-waiting"), (each) => {
  const until = t("pairing.until", { time: clock(timeOf(each.until)) });
  return item(each, "approve", { code: each.code }, `${each.code} · ${until}`);
});
const drawPaired = lister($("pairing-paired"), (each) => {
  const since = t("pairing.since", { time: clock(timeOf(each.at)) });
  return item(each, "revoke", { child: each.child, user: each.user }, since);
});

// Wall time in seconds, or as text.
function timeOf(at) {
  return typeof at === "number" ? at * 1000 : at;
}

function item(each, verb, body, note) {
  const name = each.name || each.user;
  return make("li", {},
    make("div", { class: "head" }, make("span", {}, name), make("span", { class: "note" }, note)),
    make("p", { class: "why" }, `${each.child} · ${each.user}`),
    make("div", { class: "verbs" }, button(t(`pairing.${verb}`), () => settle(each, name, verb, body), {
      "data-verb": verb, "aria-label": t(`pairing.${verb}.of`, { name }),
    })));
}

async function settle(each, name, verb, body) {
  const facts = { name, user: each.user, child: each.child };
  if (!await ask(t(`pairing.${verb}.ask`, facts), t(`pairing.${verb}`), verb === "revoke")) return;
  try {
    await call(`/api/pairing/${verb}`, body);
    notice(t(`pairing.${verb}.done`, facts));
  } catch (error) {
    notice(error.message, true);
  }
  await pairing();
  ($("pairing").querySelector("button") || $("show-pairing")).focus();
}

onLanguage(draw);
onView("pairing", pairing);
