// SPDX-License-Identifier: Apache-2.0
// One event stream, kept open while the page is seen.

const SILENCE_MS = 5000;
const HIDDEN_MS = 10000;
const RETRY_MS = 3000;

/**
 * The frame that follows `last`, by what is new in it: rows of long tables by their number.
 *
 * @param {object} last frame
 * @param {object} change as `changes.py` makes it
 */
export function merge(last, change) {
  const { changed, ...frame } = change;
  for (const [name, table] of Object.entries(changed)) {
    const rows = [...last[name]];
    const fields = Object.entries(table.set);
    table.at.forEach((number, place) => {
      const own = fields.map(([field, values]) => [field, values[place]]);
      rows[number] = { ...rows[number], ...Object.fromEntries(own) };
    });
    frame[name] = rows;
  }
  return frame;
}

/**
 * Follows the server's frames.
 *
 * A page without a frame for five seconds says so (`onLost`), and goes on by itself. A hidden page
 * gives its stream back after ten seconds: browsers open no more than six to one host, and the
 * seventh page would never hear anything.
 *
 * @param {string} address of the event stream
 * @param {{onFrame: (frame: object) => void, onLost: () => void, onReturn: () => void}} handlers
 *     `onReturn` runs when frames come again after a break
 */
export function follow(address, { onFrame, onLost, onReturn }) {
  let source = null;
  let silence = 0;
  let hidden = 0;
  let broken = false;

  const watch = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      broken = true;
      onLost();
    }, SILENCE_MS);
  };
  const close = () => {
    source?.close();
    source = null;
    clearTimeout(silence);
  };
  const open = () => {
    close();
    watch();
    source = new EventSource(address);
    let last = null;
    const show = (frame) => {
      watch();
      if (broken) onReturn();
      broken = false;
      last = frame;
      onFrame(frame);
    };
    source.addEventListener("frame", (event) => show(JSON.parse(event.data)));
    source.addEventListener("changes", (event) => show(merge(last, JSON.parse(event.data))));
    source.addEventListener("error", () => {
      // After a refusal (a full house, a proxy's error page) a browser does not try again.
      if (source?.readyState !== EventSource.CLOSED) return;
      setTimeout(() => source && open(), RETRY_MS * (1 + Math.random()));
    });
  };

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) {
      hidden = setTimeout(() => {
        broken = true;
        close();
      }, HIDDEN_MS);
    } else if (!source) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}
