// Board: how every child is, and what may be done about it.
import { $, button, make } from "./dom.js";
import { pulse } from "./pulse.js";
import { clock, span } from "./times.js";
import { call, pathOf } from "./wire.js";

const LOOKS = { READY: "good", STARTING: "wait", WAITING: "wait", STOPPING: "wait", HALTED: "bad", FAILED: "bad" };
let timer = 0;
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
  timer = setTimeout(board, document.hidden ? 60000 : 5000);
  try {
    const status = await call("/api/status");
    const ready = status.children.filter((child) => child.state === "READY").length;
    if (online()) pulse(`${ready} of ${status.children.length} ready · version ${status.version}`, false);
    const focused = document.activeElement && document.activeElement.getAttribute("aria-label");
    $("children").replaceChildren(...status.children.map(card));
    if (focused) for (const each of $("children").querySelectorAll("button")) {
      if (each.getAttribute("aria-label") === focused) each.focus();
    }
    troubles(status.config);
    totals(status);
  } catch (error) {
    pulse(error.message, true);
  }
}

// What is wrong with the configuration as it was last saved, until it is mended; said once, not every 5 s.
let told = "";

function troubles(config) {
  const wrong = config && !config.ok ? config.errors : [];
  if (wrong.join("\n") === told) return;
  told = wrong.join("\n");
  const head = "The configuration as saved was not applied; what ran before goes on:";
  $("trouble").replaceChildren(...(wrong.length ? [head, ...wrong] : []).map((text) => make("p", { class: "why" }, text)));
}

function card(child) {
  const ready = child.state === "READY";
  const silent = ready && !child.connected;
  const reason = child.reason || {};
  const why = ready ? "" : [reason.text, reason.action].filter(Boolean).join(" — ");
  const facts = [`since ${clock(child.since)}`];
  if (child.cooldown_until) facts.push(`cooling down until ${new Date(child.cooldown_until).toLocaleTimeString()}`);
  for (const dial of child.dials || []) facts.push(`dials ${dial.used} of ${dial.limit} in ${span(dial.window)}`);
  if (child.last_inbound_age !== null) facts.push(`last message ${span(child.last_inbound_age)} ago`);
  if (child.losses) facts.push(`links lost: ${child.losses}`);
  if (child.restarts) facts.push(`restarts: ${child.restarts}`);
  if (child.suspect) facts.push("suspect: the platform may have stopped routing to this bot");
  return make("li", { class: silent ? "wait" : LOOKS[child.state] || "" },
    make("div", { class: "head" }, make("span", {}, child.id),
      make("span", { class: "state" }, silent ? "READY, silent" : child.state)),
    why ? make("p", { class: "why" }, why) : null,
    make("p", { class: "facts" }, facts.join(" · ")),
    verbs(child));
}

function verbs(child) {
  const running = !["STOPPED", "IDLE"].includes(child.state);
  const offered = running ? ["restart", "stop"] : ["start"];
  return make("div", { class: "verbs" }, offered.map((verb) => {
    const act = async (event) => {
      if (verb === "stop" && !confirm(`Stop ${child.id}? It stays stopped until it is started again.`)) return;
      event.target.disabled = true;
      try {
        await call(`/api/adapters/${pathOf(child.id)}/${verb}`, {});
      } catch (error) {
        pulse(error.message, true);
      }
      soon();
    };
    return button(verb[0].toUpperCase() + verb.slice(1), act, { "aria-label": `${verb} ${child.id}` });
  }));
}

function totals(status) {
  const facts = [
    ["Waiting for an answer", status.inbox], ["Answering now", status.turns], ["Waiting for delivery", status.outbox],
    ["Dead letters", status.dead], ["Hub lag", `${status.hub_lag_ms} ms`], ["Process", status.pid],
    ["Up since", clock(status.started_at)],
  ];
  $("totals").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
}
