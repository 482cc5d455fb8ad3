// Ask: says what an action will bring about, and waits for a yes.
import { $ } from "./dom.js";

let decide = () => {};

// True when the reader agreed; `verb` stands on the button that does it.
export function ask(question, verb, grave = false) {
  $("ask-text").textContent = question;
  $("ask-yes").textContent = verb;
  $("ask-yes").classList.toggle("grave", grave);
  $("ask").returnValue = "";
  $("ask").showModal();
  return new Promise((done) => { decide = done; });
}

$("ask").addEventListener("close", () => decide($("ask").returnValue === "yes"));
$("ask-no").addEventListener("click", () => $("ask").close("no"));
$("ask").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("ask").close("yes");
});
