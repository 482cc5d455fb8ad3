// Config: applies what was changed in the files, and says what came of it.
import { soon } from "./board.js";
import { $, make } from "./dom.js";
import { onLanguage, t } from "./text.js";
import { call } from "./wire.js";

let result = null; // {ok, changed, restart_required, errors}, or {failed}

async function reload() {
  $("reload").disabled = true;
  try {
    result = await call("/api/reload", {});
  } catch (error) {
    result = error.data && error.data.errors ? error.data : { failed: error.message };
  }
  $("reload").disabled = false;
  $("reload").focus();
  draw();
  soon();
}

function draw() {
  if (!result) return;
  const said = [];
  if (result.failed) said.push([result.failed, true]);
  else if (!result.ok) said.push([t("config.wrong"), true], ...result.errors.map((text) => [text, true]));
  else {
    const names = result.changed.join(", ");
    said.push([names ? t("config.changed", { names }) : t("config.same"), false]);
    const restart = result.restart_required.join(", ");
    if (restart) said.push([t("config.restart", { names: restart }), true]);
    if (result.errors.length) said.push([t("config.partly"), true], ...result.errors.map((text) => [text, true]));
  }
  $("reload-result").replaceChildren(...said.map(([text, bad]) => make("p", { class: bad ? "bad" : "good" }, text)));
}

$("reload").addEventListener("click", reload);
onLanguage(draw);
