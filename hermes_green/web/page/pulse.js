// Pulse: the one line in the head that says how things are, or what went wrong.
import { $ } from "./dom.js";

export function pulse(text, bad) {
  $("pulse").textContent = text;
  $("pulse").classList.toggle("bad", bad);
}
