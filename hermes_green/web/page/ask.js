// Ask: says what an action will bring about, and waits for a yes.
import { $ } from "./dom.js";

let decide = null; // of the question that stands

// True when the reader agreed; `verb` stands on the button that does it.
export function ask(question, verb, grave = false) {
  settle(false);
  $("ask-text").textContent = question;
  $("ask-yes").textContent = verb;
  $("ask-yes").classList.toggle("grave", grave);
  $("ask").showModal();
  return new Promise((done) => { decide = done; });
}

// Not by the dialog's close event: that comes late, when the next question may stand already.
function settle(agreed) {
  if ($("ask").open) $("ask").close();
  if (decide) decide(agreed);
  decide = null;
}

$("ask").addEventListener("cancel", (event) => {
  event.preventDefault();
  settle(false);
});
// Some browsers close without asking first.
$("ask").addEventListener("close", () => { if (!$("ask").open) settle(false); });
$("ask-no").addEventListener("click", () => settle(false));
$("ask").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  settle(true);
});
