// Sessions: the conversations that the agent remembers.
import { ask } from "./ask.js";
import { $, button, lister, make } from "./dom.js";
import { notice } from "./pulse.js";
import { known, locale, onLanguage, t } from "./text.js";
import { clock } from "./times.js";
import { onView } from "./views.js";
import { call, pathOf } from "./wire.js";

const LIMIT = 100;
const TURNS = 50;
let sessions = [];
let open = null; // {id, history}
const list = lister($("session-list"), item);

async function load() {
  try {
    ({ sessions } = await call(`/api/sessions?limit=${LIMIT}`));
    if (open && !sessions.some((each) => each.session_id === open.id)) open = null;
    draw();
  } catch (error) {
    // That nobody answers stands in the head already.
    if (error.status && error.status !== 401) notice(error.message, true);
  }
}

function draw() {
  list(sessions, [locale(), open]);
  $("sessions-more").textContent = sessions.length >= LIMIT ? t("newest", { count: LIMIT }) : "";
}

function item(session) {
  const id = session.session_id;
  const shown = open && open.id === id;
  const show = shown ? "hide" : "show";
  return make("li", { "data-id": id },
    make("div", { class: "head" }, make("span", {}, id),
      make("span", { class: "note" }, t("sessions.facts", { count: session.messages, time: clock(session.last_at) }))),
    make("div", { class: "verbs" },
      button(t(`sessions.${show}`), () => toggle(id), {
        "data-verb": "show",
        "aria-expanded": String(Boolean(shown)),
        "aria-label": t(`sessions.${show}.of`, { id }),
      }),
      button(t("sessions.reset"), () => reset(id), {
        "data-verb": "reset", "aria-label": t("sessions.reset.of", { id }),
      })),
    shown ? make("ol", { class: "history", tabindex: "0" }, open.history.map(line)) : null);
}

function line(message) {
  return make("li", {}, make("span", { class: "role" }, known(`role.${message.role}`, message.role)),
    make("span", { class: "quote", dir: "auto" }, message.text));
}

async function toggle(id) {
  if (open && open.id === id) open = null;
  else {
    try {
      const { history } = await call(`/api/sessions/${pathOf(id)}?turns=${TURNS}`);
      open = { id, history };
    } catch (error) {
      notice(error.message, true);
    }
  }
  draw();
  focusOn(id, "show");
}

async function reset(id) {
  if (!await ask(t("sessions.reset.ask", { id }), t("sessions.reset"), true)) return;
  try {
    await call(`/api/sessions/${pathOf(id)}/reset`, {});
    notice(t("sessions.reset.done", { id }));
    if (open && open.id === id) open = null;
  } catch (error) {
    notice(error.message, true);
  }
  await load();
  focusOn(id, "reset");
}

// The list is drawn anew: the focus stays where it was.
function focusOn(id, verb) {
  const place = [...$("session-list").children].find((each) => each.dataset.id === id);
  const found = place && place.querySelector(`[data-verb=${verb}]`);
  (found || $("session-list").querySelector("button") || $("show-sessions")).focus();
}

onLanguage(draw);
onView("sessions", load);
