// The hand on simulated platforms: only where the gateway was started with `try`.
import { soon } from "./board.js";
import { $, button, fill, fit, make, nearEnd, place, writable } from "./dom.js";
import { notice } from "./pulse.js";
import { known as knownText, onLanguage, t } from "./text.js";
import { clock } from "./times.js";
import { offer, onView, showView, viewed } from "./views.js";
import { call } from "./wire.js";

const LAB_EVERY = 500;
const lab = { platform: null, known: new Map(), timer: 0, asked: 0 }; // known: name -> {facts, lines, since}

async function openLab() {
  let platforms = [];
  try {
    ({ platforms } = await call("/api/lab"));
  } catch {
    setTimeout(openLab, 2000); // not let in yet, or not running yet
    return;
  }
  if (!platforms.length) return;
  for (const facts of platforms) lab.known.set(facts.name, { facts, lines: new Map(), since: 0 });
  $("lab-platforms").replaceChildren(...platforms.map((facts) => {
    return button(facts.title, () => choosePlatform(facts.name), { "data-name": facts.name });
  }));
  offer("lab", true);
  $("lab-faults").open = matchMedia("(min-width: 56.01rem)").matches;
  choosePlatform(platforms[0].name);
  if (!location.hash) showView("lab");
}

function choosePlatform(name) {
  lab.platform = name;
  for (const each of $("lab-platforms").children) {
    each.setAttribute("aria-pressed", String(each.dataset.name === name));
  }
  const { facts, lines } = lab.known.get(name);
  $("lab-switches").replaceChildren(...facts.faults.map((fault) => labSwitch(name, fault)), clearButton(name));
  $("lab-lines").replaceChildren(...[...lines.values()].map((line) => line.element));
  $("lab-lines").scrollTop = $("lab-lines").scrollHeight;
  $("lab-note").textContent = "";
  look();
}

function labSwitch(name, fault) {
  const act = async (event) => {
    const on = event.target.getAttribute("aria-pressed") === "true";
    await tell(name, on ? "clear" : "fault", { fault: fault.id });
  };
  const label = knownText(`fault.${fault.id}`, fault.label);
  return button(label, act, { "data-fault": fault.id, "aria-pressed": fault.lasts ? "false" : null });
}

function clearButton(name) {
  return button(t("lab.clear"), () => tell(name, "clear", {}));
}

async function tell(name, verb, body) {
  try {
    await call(`/api/lab/${name}/${verb}`, body);
    soon();
    look();
    return true;
  } catch (error) {
    notice(error.message, true);
    return false;
  }
}

// What has changed on the chosen platform; asked again and again while it is looked at.
async function look() {
  clearTimeout(lab.timer);
  if (!lab.platform) return;
  const asked = ++lab.asked;
  const name = lab.platform;
  const known = lab.known.get(name);
  const watched = !document.hidden && viewed() === "lab";
  if (watched) {
    try {
      const { since } = known;
      const seen = await call(`/api/lab/${name}?since=${since}`);
      // A number that is lower than ours is another process': its users have said other things.
      const anew = seen.now < since;
      if (anew) {
        known.lines.clear();
        if (name === lab.platform) $("lab-lines").replaceChildren();
      }
      known.since = anew ? 0 : seen.now;
      for (const line of seen.lines) labShow(name, known, line);
      if (name === lab.platform) labNote(seen);
    } catch (error) {
      if (error.status !== 401) $("lab-note").textContent = error.message;
    }
  }
  if (asked === lab.asked) lab.timer = setTimeout(look, LAB_EVERY);
}

function labShow(name, known, line) {
  const box = $("lab-lines");
  const shown = known.lines.get(line.id) || { element: make("li") };
  const fresh = !known.lines.has(line.id);
  if (!fresh && shown.text === line.text && shown.growing === line.growing && shown.gone === line.gone) return;
  const atEnd = nearEnd(box);
  Object.assign(shown, line);
  if (line.role === "user") {
    for (const other of known.lines.values()) if (other.chat === line.chat) other.kind = line.kind;
  }
  const kind = line.kind || [...known.lines.values()].find((each) => each.chat === line.chat && each.kind)?.kind;
  shown.kind = kind;
  labDraw(shown);
  if (fresh) {
    known.lines.set(line.id, shown);
    if (name === lab.platform) place(shown.element, { at: new Date(line.at * 1000).toISOString() }, box);
  }
  if (name === lab.platform && (atEnd || (fresh && line.role === "user"))) box.scrollTop = box.scrollHeight;
}

function labDraw(shown) {
  shown.element.className = `${shown.role} ${shown.growing ? "growing" : ""} ${shown.gone ? "gone" : ""}`;
  const bubble = make("div", { class: "bubble", dir: "auto" });
  fill(bubble, shown.text || "…");
  const facts = [clock(shown.at * 1000), t(shown.kind === "group" ? "kind.group" : "kind.dm")];
  if (shown.growing) facts.push(t("lab.growing"));
  else if (shown.changes > 0) facts.push(t(shown.changes === 1 ? "lab.once" : "lab.changed", { count: shown.changes }));
  if (shown.gone) facts.push(t("lab.gone"));
  shown.element.replaceChildren(bubble, make("div", { class: "note" }, facts.join(" · ")));
}

function labNote(seen) {
  for (const each of $("lab-switches").children) {
    if (each.hasAttribute("aria-pressed")) {
      each.setAttribute("aria-pressed", String(seen.on.includes(each.dataset.fault)));
    }
  }
  $("lab-note").textContent = t("lab.note", seen);
}

$("lab-compose").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("lab-text").value;
  if (!text.trim()) return;
  if (await tell(lab.platform, "say", { text, kind: $("lab-kind").value })) {
    $("lab-text").value = "";
    fit($("lab-text"));
  }
});
writable($("lab-text"));
onView("lab", look);
onLanguage(() => {
  if (!lab.platform) return;
  for (const { lines } of lab.known.values()) for (const shown of lines.values()) labDraw(shown);
  choosePlatform(lab.platform);
});
openLab();
