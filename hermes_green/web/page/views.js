// Views: which of the page's sections is looked at.
import { $ } from "./dom.js";

const NAMES = ["lab", "chat", "board"];

export function showView(view) {
  document.querySelector("main").dataset.view = view;
  for (const name of NAMES) $(`show-${name}`).setAttribute("aria-pressed", String(name === view));
}

export function viewed() {
  return document.querySelector("main").dataset.view;
}

for (const view of NAMES) $(`show-${view}`).addEventListener("click", () => showView(view));
