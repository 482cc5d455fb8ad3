// Look: dark or light, as the system has it until the reader says otherwise.
import { $ } from "./dom.js";
import { recall, remember } from "./memory.js";

const system = matchMedia("(prefers-color-scheme: dark)");

function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

function tell() {
  $("theme").setAttribute("aria-pressed", String(dark()));
}

$("theme").addEventListener("click", () => {
  const wanted = dark() ? "light" : "dark";
  // Back at what the system has: it leads again.
  const choice = (wanted === "dark") === system.matches ? null : wanted;
  remember("theme", choice);
  if (choice) document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
  tell();
});
system.addEventListener("change", tell);
addEventListener("storage", (event) => {
  if (event.key !== "theme") return;
  const theme = recall("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  tell();
});
tell();
