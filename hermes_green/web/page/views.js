// Views: which of the page's sections is looked at; the address keeps it (#dead).
import { $ } from "./dom.js";

const NAMES = ["lab", "chat", "board", "dead", "sessions", "events", "pairing"];
const shown = new Map(); // view -> what to do when it comes into sight

// `load` is called whenever the view comes into sight, and by `refresh`.
export function onView(view, load) {
  shown.set(view, load);
}

export function viewed() {
  return document.querySelector("main").dataset.view;
}

export function showView(view) {
  if (location.hash !== `#${view}`) history.replaceState(null, "", `#${view}`);
  turn();
}

// What is in sight may have changed.
export function refresh(...views) {
  if (!views.length || views.includes(viewed())) shown.get(viewed())?.();
}

export function turn() {
  const asked = location.hash.slice(1);
  const view = NAMES.includes(asked) && !$(`show-${asked}`).hidden ? asked : "chat";
  document.querySelector("main").dataset.view = view;
  for (const name of NAMES) {
    if (name === view) $(`show-${name}`).setAttribute("aria-current", "page");
    else $(`show-${name}`).removeAttribute("aria-current");
  }
  refresh();
}

// A view that not every gateway has.
export function offer(view, there) {
  if ($(`show-${view}`).hidden === !there) return;
  $(`show-${view}`).hidden = !there;
  if (location.hash === `#${view}` || viewed() === view) turn();
}

// At once, not when the browser gets round to telling of a changed address.
for (const name of NAMES) {
  $(`show-${name}`).addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in a tab or window of its own
    event.preventDefault();
    if (location.hash !== `#${name}`) history.pushState(null, "", `#${name}`);
    turn();
  });
}
addEventListener("popstate", turn);
