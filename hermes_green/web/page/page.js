// The page's only script: a chat that survives reconnects, and the status board.
"use strict";

const CHAT = chosenChat();
const MAX_LINES = 500;
const $ = (id) => document.getElementById(id);
const lines = new Map(); // id -> {id, role, text, at, state, element}
let stream = null;
let online = false;
let boardTimer = 0;

// One chat per browser, unless the address names another: /?chat=NAME
function chosenChat() {
  const asked = new URLSearchParams(location.search).get("chat");
  if (asked) return asked;
  let mine = null;
  try {
    mine = localStorage.getItem("chat");
    if (!mine) {
      mine = "page-" + randomId().slice(0, 12);
      localStorage.setItem("chat", mine);
    }
  } catch { /* storage is off: everybody shares the default chat */ }
  return mine || "main";
}

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

async function call(path, body, headers = {}) {
  const options = body === undefined
    ? {}
    : { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const data = await response.json().catch(() => ({}));
  if (response.ok) return data;
  if (response.status === 401 && path !== "/api/login") askForToken();
  const error = new Error((data.error && data.error.text) || `the gateway answered ${response.status}`);
  error.status = response.status;
  throw error;
}

// --- the token -----------------------------------------------------------------------------------

function askForToken() {
  if (!$("login").open) $("login").showModal();
}

$("login").addEventListener("cancel", (event) => event.preventDefault());
$("login").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call("/api/login", { token: $("token").value });
    $("token").value = "";
    $("login-error").textContent = "";
    $("login").close();
    connect();
  } catch (error) {
    $("login-error").textContent = error.message;
  }
});

// --- the chat ------------------------------------------------------------------------------------

function show(line) {
  const known = lines.get(line.id);
  if (known) {
    Object.assign(known, line);
    draw(known);
    return;
  }
  const element = document.createElement("li");
  lines.set(line.id, { ...line, element });
  const atEnd = nearEnd();
  place(element, line);
  draw(lines.get(line.id));
  for (const [id, old] of lines) {
    if (lines.size <= MAX_LINES) break;
    old.element.remove();
    lines.delete(id);
  }
  if (atEnd || line.role === "user") $("lines").scrollTop = $("lines").scrollHeight;
}

function nearEnd() {
  const box = $("lines");
  return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
}

// Lines stand in the order of their time; a transcript that comes late finds its place.
function place(element, line) {
  element.dataset.at = Date.parse(line.at) || Date.now();
  let before = null;
  for (let node = $("lines").lastElementChild; node; node = node.previousElementSibling) {
    if (Number(node.dataset.at) <= Number(element.dataset.at)) break;
    before = node;
  }
  $("lines").insertBefore(element, before);
}

function draw(line) {
  const { element } = line;
  element.className = `${line.role} ${line.state || ""}`;
  const bubble = document.createElement("div");
  bubble.className = "bubble";
  bubble.dir = "auto";
  fill(bubble, line.text);
  const note = document.createElement("div");
  note.className = "note";
  if (line.state === "sending") note.textContent = "sending…";
  else if (line.state === "failed") {
    note.append(`not sent: ${line.error} `);
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Try again";
    again.addEventListener("click", () => deliver(line));
    note.append(again);
  } else note.textContent = clock(line.at);
  element.replaceChildren(bubble, note);
}

// Text only, never markup; fenced code is set apart because agents write much of it.
function fill(bubble, text) {
  const pieces = text.split(/^ {0,3}```[^\n]*$\n?/m);
  pieces.forEach((piece, number) => {
    if (number % 2) {
      const code = document.createElement("pre");
      code.textContent = piece.replace(/\n$/, "");
      bubble.append(code);
    } else if (piece) bubble.append(pieces.length > 1 ? piece.replace(/^\n|\n$/g, "") : piece);
  });
}

function clock(at) {
  const when = new Date(at);
  const today = when.toDateString() === new Date().toDateString();
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${when.toLocaleDateString()} ${time}`;
}

// The id is drawn here: sending it twice, or hearing of it by the stream, is one message.
async function deliver(line) {
  show({ ...line, state: "sending", error: "" });
  for (let attempt = 0; ; attempt++) {
    try {
      await call("/api/chat", { text: line.text, chat: CHAT }, { "Idempotency-Key": line.id });
      return show({ ...line, state: "", error: "" });
    } catch (error) {
      const passing = !error.status || error.status >= 500;
      if (!passing || attempt >= 3) return show({ ...line, state: "failed", error: error.message, passing });
      await new Promise((done) => setTimeout(done, 500 * 2 ** attempt));
    }
  }
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  $("text").value = "";
  fit();
  deliver({ id: randomId(), role: "user", text, at: new Date().toISOString() });
});

$("text").addEventListener("keydown", (event) => {
  // isComposing: Enter that ends the input of Chinese or Japanese sends nothing.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("compose").requestSubmit();
  }
});

function fit() {
  $("text").style.height = "auto";
  $("text").style.height = `${$("text").scrollHeight + 2}px`;
}
$("text").addEventListener("input", fit);

// --- the stream ----------------------------------------------------------------------------------

function connect() {
  if (stream) stream.close();
  stream = new EventSource(`/api/events?all=1&chat=${encodeURIComponent(CHAT)}`);
  stream.addEventListener("open", () => {
    online = true;
    // Listening first and reading then: what comes in between arrives twice, and is shown once.
    history();
    board();
    for (const line of lines.values()) if (line.state === "failed" && line.passing) deliver(line);
  });
  stream.addEventListener("message", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("sent", (event) => show({ ...JSON.parse(event.data), state: "" }));
  stream.addEventListener("gateway", () => soon());
  stream.addEventListener("error", () => {
    online = false;
    pulse("not connected to the gateway, trying again…", true);
    // After an answer that is not a stream (401, 503) the browser gives up; we do not.
    if (stream.readyState === EventSource.CLOSED) setTimeout(retry, 2000);
  });
}

async function retry() {
  try {
    await call("/api/status");
    connect();
  } catch (error) {
    if (error.status !== 401) setTimeout(retry, 2000);
  }
}

async function history() {
  try {
    const { lines: past } = await call(`/api/chat?limit=200&chat=${encodeURIComponent(CHAT)}`);
    for (const line of past) show({ ...line, state: "" });
  } catch (error) {
    pulse(error.message, true);
  }
}

// --- the board -----------------------------------------------------------------------------------

const LOOKS = { READY: "good", STARTING: "wait", WAITING: "wait", STOPPING: "wait", HALTED: "bad", FAILED: "bad" };

function soon() {
  clearTimeout(boardTimer);
  boardTimer = setTimeout(board, 150);
}

async function board() {
  clearTimeout(boardTimer);
  boardTimer = setTimeout(board, document.hidden ? 60000 : 5000);
  try {
    const status = await call("/api/status");
    const ready = status.children.filter((child) => child.state === "READY").length;
    if (online) pulse(`${ready} of ${status.children.length} ready · version ${status.version}`, false);
    const focused = document.activeElement && document.activeElement.getAttribute("aria-label");
    $("children").replaceChildren(...status.children.map(card));
    if (focused) for (const button of $("children").querySelectorAll("button")) {
      if (button.getAttribute("aria-label") === focused) button.focus();
    }
    totals(status);
  } catch (error) {
    pulse(error.message, true);
  }
}

function pulse(text, bad) {
  $("pulse").textContent = text;
  $("pulse").classList.toggle("bad", bad);
}

function card(child) {
  const item = document.createElement("li");
  const ready = child.state === "READY";
  item.className = ready && !child.connected ? "wait" : LOOKS[child.state] || "";
  item.append(row("head", [span(child.id), span(ready && !child.connected ? "READY, silent" : child.state, "state")]));
  const reason = child.reason || {};
  if (!ready && reason.text) item.append(paragraph("why", [reason.text, reason.action].filter(Boolean).join(" — ")));
  const facts = [`since ${clock(child.since)}`];
  if (child.cooldown_until) facts.push(`cooling down until ${new Date(child.cooldown_until).toLocaleTimeString()}`);
  for (const dial of child.dials || []) facts.push(`dials ${dial.used} of ${dial.limit} in ${span_of(dial.window)}`);
  if (child.last_inbound_age !== null) facts.push(`last message ${span_of(child.last_inbound_age)} ago`);
  if (child.losses) facts.push(`links lost: ${child.losses}`);
  if (child.restarts) facts.push(`restarts: ${child.restarts}`);
  if (child.suspect) facts.push("suspect: the platform may have stopped routing to this bot");
  item.append(paragraph("facts", facts.join(" · ")));
  item.append(verbs(child));
  return item;
}

function verbs(child) {
  const running = !["STOPPED", "IDLE"].includes(child.state);
  const offered = running ? ["restart", "stop"] : ["start"];
  return row("verbs", offered.map((verb) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = verb[0].toUpperCase() + verb.slice(1);
    button.setAttribute("aria-label", `${verb} ${child.id}`);
    button.addEventListener("click", async () => {
      if (verb === "stop" && !confirm(`Stop ${child.id}? It stays stopped until it is started again.`)) return;
      button.disabled = true;
      try {
        await call(`/api/adapters/${child.id.split("/").map(encodeURIComponent).join("/")}/${verb}`, {});
      } catch (error) {
        pulse(error.message, true);
      }
      soon();
    });
    return button;
  }));
}

function totals(status) {
  const facts = [
    ["Waiting for an answer", status.inbox], ["Answering now", status.turns], ["Waiting for delivery", status.outbox],
    ["Dead letters", status.dead], ["Hub lag", `${status.hub_lag_ms} ms`], ["Process", status.pid],
    ["Up since", clock(status.started_at)],
  ];
  $("totals").replaceChildren(...facts.flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    return [term, detail];
  }));
}

function span(text, kind = "") {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  return element;
}

function row(kind, children) {
  const element = document.createElement("div");
  element.className = kind;
  element.append(...children);
  return element;
}

function paragraph(kind, text) {
  const element = document.createElement("p");
  element.className = kind;
  element.textContent = text;
  return element;
}

function span_of(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

// --- start ---------------------------------------------------------------------------------------

for (const view of ["chat", "board"]) {
  $(`show-${view}`).addEventListener("click", () => {
    document.querySelector("main").dataset.view = view;
    for (const name of ["chat", "board"]) $(`show-${name}`).setAttribute("aria-pressed", String(name === view));
  });
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
window.addEventListener("pagehide", () => { if (stream) stream.close(); });
window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
connect();
