// Stream: one open answer that tells what happens, found again whenever it was lost.
import { call } from "./wire.js";

const AGAIN = 2000; // ms

// listen(path, {open, lost, EVENT: (data) => …}); returns {online(), restart(), close()}.
export function listen(path, { open, lost, ...handlers }) {
  let source = null;
  let online = false;

  function connect() {
    if (source) source.close();
    source = new EventSource(path);
    source.addEventListener("open", () => {
      online = true;
      open();
    });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
    source.addEventListener("error", () => {
      online = false;
      lost();
      // After an answer that is not a stream (401, 503) the browser gives up; we do not.
      if (source.readyState === EventSource.CLOSED) setTimeout(retry, AGAIN);
    });
  }

  async function retry() {
    try {
      await call("/api/status");
      connect();
    } catch (error) {
      if (error.status !== 401) setTimeout(retry, AGAIN);
    }
  }

  connect();
  return { online: () => online, restart: connect, close: () => source.close() };
}
