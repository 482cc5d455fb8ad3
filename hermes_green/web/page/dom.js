// Elements: made with textContent alone, so that nothing anybody wrote is ever taken for markup.

export const $ = (id) => document.getElementById(id);

// make("p", { class: "why", title: "…" }, "text or element", …); null children are left out.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  // append() turns a string into a text node, never into markup.
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export function button(text, act, attributes = {}) {
  return make("button", { type: "button", class: "plain", onclick: act, ...attributes }, text);
}

// A list that is drawn anew only when it says something else: what is being clicked or read stays.
export function lister(box, item) {
  let drawn = "";
  return (entries, mark = "") => {
    const said = JSON.stringify([entries, mark]);
    if (said === drawn) return;
    drawn = said;
    box.replaceChildren(...entries.map(item));
  };
}

export function nearEnd(box) {
  return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
}

// Lines stand in the order of their time; a transcript that comes late finds its place.
export function place(element, line, box) {
  element.dataset.at = Date.parse(line.at) || Date.now();
  let before = null;
  for (let node = box.lastElementChild; node; node = node.previousElementSibling) {
    if (node === element) continue;
    if (Number(node.dataset.at) <= Number(element.dataset.at)) break;
    before = node;
  }
  // What is put anew where it stood would be read out anew.
  if (element.parentNode !== box || element.nextElementSibling !== before) box.insertBefore(element, before);
}

// Text only, never markup; fenced code is set apart because agents write much of it.
export function fill(bubble, text) {
  const pieces = text.split(/^ {0,3}```[^\n]*$\n?/m);
  pieces.forEach((piece, number) => {
    if (number % 2) bubble.append(make("pre", {}, piece.replace(/\n$/, "")));
    else if (piece) bubble.append(pieces.length > 1 ? piece.replace(/^\n|\n$/g, "") : piece);
  });
}

// A field that grows with its text and is sent by Enter.
export function writable(field) {
  field.addEventListener("keydown", (event) => {
    // isComposing: Enter that ends the input of Chinese or Japanese sends nothing.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      field.form.requestSubmit();
    }
  });
  field.addEventListener("input", () => fit(field));
  fit(field);
}

export function fit(field) {
  field.style.height = "auto";
  if (field.scrollHeight) field.style.height = `${field.scrollHeight + 2}px`;
}
