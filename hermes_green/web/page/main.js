// The page's script: brings its parts together.
import { board, boardWhile, soon } from "./board.js";
import { CHAT, catchUp, show } from "./chat.js";
import "./config.js";
import { deadHeard } from "./dead.js";
import { heard } from "./events.js";
import "./lab.js";
import "./look.js";
import { pairing } from "./pairing.js";
import { pulse } from "./pulse.js";
import "./sessions.js";
import { listen } from "./stream.js";
import { t } from "./text.js";
import { trends } from "./trends.js";
import { onView, refresh, turn } from "./views.js";
import { guardEntry } from "./wire.js";

const stream = listen(`/api/events?all=1&chat=${encodeURIComponent(CHAT)}`, {
  open() {
    // Listening first and reading then: what comes in between arrives twice, and is shown once.
    catchUp();
    board();
    pairing();
    refresh();
  },
  lost: () => pulse(t("lost"), true),
  message: show,
  sent: (line) => show({ ...line, state: "" }),
  gateway(event) {
    soon();
    heard(event);
    deadHeard(event);
  },
});

function back() {
  soon();
  pairing();
  refresh();
}

boardWhile(stream.online);
guardEntry(stream.restart);
onView("board", () => { soon(); trends(); });
turn();
document.addEventListener("visibilitychange", () => { if (!document.hidden) back(); });
window.addEventListener("pagehide", stream.close);
window.addEventListener("pageshow", (event) => { if (event.persisted) stream.restart(); });
