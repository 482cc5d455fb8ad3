// Board: how every child is, what waits, and what may be done about it.
import { ask } from "./ask.js";
import { $, button, lister, make } from "./dom.js";
import { notice, pulse } from "./pulse.js";
import { known, short, locale, onLanguage, otherwise, t } from "./text.js";
import { clock, exactly, span } from "./times.js";
import { call, pathOf } from "./wire.js";

const EVERY = 5000; // ms
const LOOKS = { READY: "good", STARTING: "wait", WAITING: "wait", STOPPING: "wait", HALTED: "bad", FAILED: "bad" };
const NOTHING = /^(Nothing to do|无需处理)/;
const VERBS = ["start", "restart", "stop"];
const cards = new Map(); // child id -> card
const list = lister($("hook-list"), hook);
let timer = 0;
let status = null;
let online = () => true;

export function boardWhile(connected) {
  online = connected;
}

export function soon() {
  clearTimeout(timer);
  timer = setTimeout(board, 150);
}

export async function board() {
  clearTimeout(timer);
  timer = setTimeout(board, document.hidden ? 12 * EVERY : EVERY);
  try {
    status = await call("/api/status");
    otherwise(status.locale);
    draw();
  } catch (error) {
    if (error.status !== 401) pulse(error.status ? error.message : t("lost"), true);
  }
}

function draw() {
  if (!status) return;
  const ready = status.children.filter((child) => child.state === "READY").length;
  if (online()) pulse(t("pulse", { ready, all: status.children.length, version: status.version }), false);
  // Cards are changed in place: what is being clicked, read or selected stays.
  for (const [id, card] of cards) {
    if (status.children.some((child) => child.id === id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  for (const child of status.children) {
    if (!cards.has(child.id)) cards.set(child.id, new Card(child.id));
    cards.get(child.id).draw(child);
  }
  const order = status.children.map((child) => cards.get(child.id).element);
  if (order.some((element, place) => $("children").children[place] !== element)) $("children").append(...order);
  troubles(status.config);
  hooks(status.hooks || []);
  totals();
}

// What is wrong with the configuration as it was last saved, until it is mended; said once, not every 5 s.
let told = "";

function troubles(config) {
  const wrong = config && config.errors && config.errors.length ? config.errors : [];
  const head = config && config.ok ? t("config.partly") : t("config.wrong");
  const restart = config && config.restart_required && config.restart_required.length
    ? [t("config.restart", { names: config.restart_required.join(", ") })] : [];
  const said = [...(wrong.length ? [head, ...wrong] : []), ...restart];
  if (said.join("\n") === told) return;
  told = said.join("\n");
  $("trouble").replaceChildren(...said.map((text) => make("p", { class: "why" }, text)));
}

// The user's own code, which may fail without anybody in a chat noticing.
function hooks(tallies) {
  $("hooks").hidden = !tallies.length;
  list(tallies, locale());
}

function hook(tally) {
  const text = `${tally.hook} (${tally.event}): ${t("hook.calls", { count: tally.calls })}`;
  const bad = [["hook.failed", tally.failed], ["hook.late", tally.late]].filter(([, count]) => count);
  return make("li", {}, text, bad.map(([name, count]) => make("span", { class: "bad" }, ` · ${t(name, { count })}`)));
}

class Card {
  constructor(id) {
    this.id = id;
    this.state = make("span", { class: "state" });
    this.why = make("p", { class: "why" });
    this.action = make("p", { class: "action" });
    this.facts = make("dl", { class: "facts" });
    this.marks = make("p", { class: "marks" });
    this.buttons = VERBS.map((verb) => button("", () => this.act(verb), { "data-verb": verb }));
    this.element = make("li", { "data-child": id },
      make("div", { class: "head" }, make("span", {}, id), this.state),
      this.why, this.action, this.facts, this.marks, make("div", { class: "verbs" }, this.buttons));
  }

  draw(child) {
    const ready = child.state === "READY";
    const silent = ready && !child.connected;
    const { action } = reasonOf(child);
    this.element.className = silent ? "wait" : LOOKS[child.state] || "";
    say(this.state, silent ? t("state.silent") : stateOf(child));
    say(this.why, silent ? t("child.silent") : ready ? "" : reasonOf(child).text);
    say(this.action, ready ? "" : todo(action));
    facts(this.facts, [
      [t("child.since"), clock(child.since)],
      [t("child.proof"), child.last_proof_age === null ? "" : ago(child.last_proof_age)],
      [t("child.inbound"), ago(child.last_inbound_age)],
      [t("child.link"), child.link_age === null ? "" : span(child.link_age)],
      [t("child.dials"), (child.dials || []).map(dialsOf).join(" · "), "wide"],
    ]);
    const marks = [];
    // Where the dials are spent, the reason says until when.
    const told = ["budget_spent", "suspect"].includes((child.reason || {}).code);
    if (child.cooldown_until && !told) marks.push(t("child.cooling", { time: exactly(child.cooldown_until) }));
    if (child.losses) marks.push(t("child.losses", { count: child.losses }));
    if (child.restarts) marks.push(t("child.restarts", { count: child.restarts }));
    if (child.suspect) marks.push(t("child.suspect"));
    say(this.marks, marks.join(" · "));
    const offered = ["STOPPED", "IDLE"].includes(child.state) ? ["start"] : ["restart", "stop"];
    for (const each of this.buttons) {
      const { verb } = each.dataset;
      const hadFocus = document.activeElement === each;
      each.hidden = !offered.includes(verb);
      say(each, t(`verb.${verb}`));
      each.setAttribute("aria-label", t("verb.of", { verb: t(`verb.${verb}`), child: this.id }));
      // The button that was used has gone: the focus goes to what has come instead.
      if (hadFocus && each.hidden) this.buttons.find((other) => offered.includes(other.dataset.verb)).focus();
    }
  }

  async act(verb) {
    if (!await ask(t(`${verb}.ask`, { child: this.id }), t(`verb.${verb}`), verb === "stop")) return;
    for (const each of this.buttons) each.setAttribute("aria-disabled", "true");
    try {
      const child = await call(`/api/adapters/${pathOf(this.id)}/${verb}`, {});
      const why = child.state === "READY" ? "" : reasonOf(child).text;
      notice(t("child.done", { child: this.id, state: stateOf(child), why }), LOOKS[child.state] === "bad");
    } catch (error) {
      notice(error.message, true);
    }
    for (const each of this.buttons) each.removeAttribute("aria-disabled");
    soon();
  }
}

function stateOf(child) {
  return known(`state.${child.state}`, child.state || "");
}

// In the reader's language, which need not be the gateway's.
function reasonOf(child) {
  const reason = child.reason || {};
  return { text: "", action: "", ...(reason[short()] || reason) };
}

function todo(action) {
  return !action || NOTHING.test(action) ? action : t("child.todo", { action });
}

function dialsOf(dial) {
  const said = t("child.dials.of", { ...dial, window: span(dial.window) });
  return dial.kind ? `${dial.kind}: ${said}` : said;
}

function ago(seconds) {
  return seconds === null ? t("child.never") : t("child.ago", { span: span(seconds) });
}

function totals() {
  const oldest = status.oldest_undelivered;
  facts($("totals"), [
    [t("total.inbox"), status.inbox], [t("total.turns"), status.turns], [t("total.outbox"), status.outbox],
    [t("total.oldest"), oldest === null || oldest === undefined ? t("total.none") : span(oldest)],
    [t("total.dead"), status.dead, status.dead ? "bad" : ""], [t("total.lag"), `${status.hub_lag_ms} ms`],
    [t("total.up"), clock(status.started_at)], [t("total.pid"), status.pid],
  ]);
  say($("dead-count"), status.dead ? String(status.dead) : "");
}

// Pairs of a name and a value, changed in place; those without a value are left out.
function facts(list, pairs) {
  const shown = pairs.filter(([, value]) => value !== "");
  while (list.children.length > shown.length) list.lastElementChild.remove();
  while (list.children.length < shown.length) list.append(make("div", {}, make("dt"), make("dd")));
  shown.forEach(([name, value, kind], place) => {
    const [term, detail] = list.children[place].children;
    say(term, name);
    say(detail, String(value));
    list.children[place].className = kind || "";
  });
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
  if (element.tagName === "P") element.hidden = !text;
}

onLanguage(draw);
