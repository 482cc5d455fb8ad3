// The page's script: brings its parts together.
import { board, boardWhile, soon } from "./board.js";
import { CHAT, catchUp, show } from "./chat.js";
import "./lab.js";
import { pulse } from "./pulse.js";
import { listen } from "./stream.js";
import { guardEntry } from "./wire.js";

const stream = listen(`/api/events?all=1&chat=${encodeURIComponent(CHAT)}`, {
  open() {
    // Listening first and reading then: what comes in between arrives twice, and is shown once.
    catchUp();
    board();
  },
  lost: () => pulse("not connected to the gateway, trying again…", true),
  message: show,
  sent: (line) => show({ ...line, state: "" }),
  gateway: soon,
});

boardWhile(stream.online);
guardEntry(stream.restart);
document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
window.addEventListener("pagehide", stream.close);
window.addEventListener("pageshow", (event) => { if (event.persisted) stream.restart(); });
