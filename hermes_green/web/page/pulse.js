// Pulse: how things are, in one line in the head; and beneath it what came of an action, until it was read.
import { $ } from "./dom.js";

const READ = 8000; // ms that good news stay
let timer = 0;

export function pulse(text, bad) {
  // Said to screen readers only when it changes.
  if ($("pulse").textContent !== text) $("pulse").textContent = text;
  $("pulse").classList.toggle("bad", bad);
}

export function notice(text, bad = false) {
  clearTimeout(timer);
  $("notice-text").textContent = text;
  $("notice").classList.toggle("bad", bad);
  $("notice").hidden = false;
  if (!bad) timer = setTimeout(dismiss, READ);
}

function dismiss() {
  $("notice").hidden = true;
  $("notice-text").textContent = "";
}

$("dismiss").addEventListener("click", dismiss);
