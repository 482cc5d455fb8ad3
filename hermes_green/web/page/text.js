// Text: the language of the page, and every sentence in it.
import { $ } from "./dom.js";
import { recall, remember } from "./memory.js";
import { ENGLISH } from "./english.js";
import { CHINESE } from "./chinese.js";

const WORDS = { en: ENGLISH, zh: CHINESE };
const listeners = [];
let chosen = WORDS[recall("language")] ? recall("language") : ofTheBrowser();
let language = chosen || "en";

// The first of the reader's languages that we speak, or null.
function ofTheBrowser() {
  for (const each of navigator.languages || []) {
    const short = each.slice(0, 2).toLowerCase();
    if (WORDS[short]) return short;
  }
  return null;
}

// t("stop.ask", {child}): the sentence with its {child} filled in. A name without a sentence is shown as it is.
export function t(name, values = {}) {
  const sentence = WORDS[language][name] ?? ENGLISH[name] ?? name;
  return sentence.replace(/\{(\w+)\}/g, (whole, key) => String(values[key] ?? ""));
}

// A sentence that may not exist, for what others may add to: states, events, faults.
export function known(name, otherwise) {
  return WORDS[language][name] ?? ENGLISH[name] ?? otherwise;
}

// "en" or "zh-CN", as browsers call it.
export function locale() {
  return language === "zh" ? "zh-CN" : "en";
}

// "en" or "zh", as the gateway calls it.
export function short() {
  return language;
}

// `draw` is called whenever the language has changed.
export function onLanguage(draw) {
  listeners.push(draw);
}

// The gateway's own language, for readers whose browser prefers neither.
export function otherwise(gatewaysOwn) {
  if (!chosen && WORDS[gatewaysOwn] && gatewaysOwn !== language) speak(gatewaysOwn);
}

function speak(wanted) {
  language = wanted;
  translate();
  for (const draw of listeners) draw();
}

// What stands in the document itself: data-text, data-label, data-hint and data-none name its sentences.
function translate() {
  document.documentElement.lang = locale();
  each("text", (element, said) => { element.textContent = said; });
  each("label", (element, said) => element.setAttribute("aria-label", said));
  each("hint", (element, said) => { element.placeholder = said; });
  each("none", (element, said) => { element.dataset.empty = said; });
  $("language").textContent = WORDS[other()]["language.name"];
  $("language").lang = other();
}

function each(name, put) {
  for (const element of document.querySelectorAll(`[data-${name}]`)) put(element, t(element.dataset[name]));
}

function other() {
  return language === "zh" ? "en" : "zh";
}

$("language").addEventListener("click", () => {
  chosen = other();
  remember("language", chosen);
  speak(chosen);
});
translate();
