// Chat: a conversation with the agent that survives reconnects and reloads.
import { $, fill, fit, make, nearEnd, place, writable } from "./dom.js";
import { recall, remember } from "./memory.js";
import { pulse } from "./pulse.js";
import { onLanguage, t } from "./text.js";
import { clock } from "./times.js";
import { call, randomId } from "./wire.js";

const MAX_LINES = 500;
const lines = new Map(); // id -> {id, role, text, at, state, element}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$/; // what the gateway takes for a chat's name

// One chat per browser, unless the address names another: /?chat=NAME
export const CHAT = chosenChat();

function chosenChat() {
  const asked = new URLSearchParams(location.search).get("chat");
  if (asked && NAME.test(asked)) return asked;
  const mine = recall("chat") || "page-" + randomId().slice(0, 12);
  remember("chat", mine);
  // Where storage is off, everybody shares the default chat.
  return recall("chat") || "main";
}

export function show(line) {
  const known = lines.get(line.id);
  if (known) {
    Object.assign(known, line);
    // The gateway's clock, by which answers stand, need not be the browser's.
    place(known.element, known, $("lines"));
    draw(known);
    return;
  }
  const box = $("lines");
  const element = make("li");
  lines.set(line.id, { ...line, element });
  const atEnd = nearEnd(box);
  place(element, line, box);
  draw(lines.get(line.id));
  for (const [id, old] of lines) {
    if (lines.size <= MAX_LINES) break;
    old.element.remove();
    lines.delete(id);
  }
  if (atEnd || line.role === "user") box.scrollTop = box.scrollHeight;
}

function draw(line) {
  const { element } = line;
  element.className = `${line.role} ${line.state || ""}`;
  const bubble = make("div", { class: "bubble", dir: "auto" });
  fill(bubble, line.text);
  const note = make("div", { class: "note" });
  if (line.state === "sending") note.textContent = t("chat.sending");
  else if (line.state === "failed") {
    const again = make("button", { type: "button", onclick: () => deliver(line) }, t("chat.again"));
    note.append(t("chat.failed", { error: line.error }), " ", again);
  } else note.textContent = clock(line.at);
  element.replaceChildren(bubble, note);
}

// The id is drawn here: sending it twice, or hearing of it by the stream, is one message.
async function deliver(line) {
  const now = (state, more) => show({ ...line, ...lines.get(line.id), error: "", ...more, state });
  now("sending");
  for (let attempt = 0; ; attempt++) {
    try {
      await call("/api/chat", { text: line.text, chat: CHAT }, { "Idempotency-Key": line.id });
      return now("");
    } catch (error) {
      const passing = !error.status || error.status >= 500;
      if (!passing || attempt >= 3) return now("failed", { error: error.message, passing });
      await new Promise((done) => setTimeout(done, 500 * 2 ** attempt));
    }
  }
}

export async function catchUp() {
  for (const line of lines.values()) if (line.state === "failed" && line.passing) deliver(line);
  try {
    const { lines: past } = await call(`/api/chat?limit=200&chat=${encodeURIComponent(CHAT)}`);
    for (const line of past) show({ ...line, state: "" });
  } catch (error) {
    pulse(error.message, true);
  }
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  $("text").value = "";
  fit($("text"));
  deliver({ id: randomId(), role: "user", text, at: new Date().toISOString() });
});
writable($("text"));
onLanguage(() => { for (const line of lines.values()) draw(line); });
