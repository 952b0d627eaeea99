// Polls the cutouts on the server, and downloads the results.

import { call, cutoutPath, isLocked, Problem } from "./api.js";
import { cards } from "./card.js";
import { notice } from "./dom.js";
import { preview, release } from "./preview.js";
import { limiter, pause, Poller } from "./queue.js";

const OLDEST = 2; // cutouts that are polled in every round, see `round`
const MAX_ATTEMPTS = 3; // of a download

const polling = limiter(4);
const downloading = limiter(4);
const poller = new Poller(round);
let cursor = 0;

export const wake = () => poller.wake();

const polled = () => [...cards].filter((card) => card.state === "queued" || card.state === "working");

// Polls the two oldest cutouts, which probably end first, and one of the others in turn. Once both
// have ended, polls the next ones at once. Polling all would exceed the server's rate limit.
async function round() {
  const alreadyPolled = new Set();
  let changed = false;
  for (;;) {
    const active = polled().filter((card) => !alreadyPolled.has(card));
    if (!active.length || isLocked()) break;
    const oldest = active.slice(0, OLDEST);
    const others = active.slice(OLDEST);
    const selected = others.length ? [...oldest, others[cursor++ % others.length]] : oldest;
    selected.forEach((card) => alreadyPolled.add(card));
    const answers = await Promise.allSettled(selected.map((card) => polling(() => poll(card))));
    const error = answers.find((answer) => answer.status === "rejected")?.reason;
    notice("away", error ? `${error.message} The page keeps trying.` : "");
    if (error) return Math.max(3000, (error.retryAfter ?? 0) * 1000);
    changed ||= answers.some((answer) => answer.value);
    if (polled().some((card) => oldest.includes(card))) break;
  }
  if (isLocked() || !polled().length) return "idle";
  return changed ? "changed" : "same";
}

async function poll(card) {
  if (card.removed || document.hidden) return false;
  const { id, state } = card;
  try {
    const cutout = await call(cutoutPath(id), { seconds: 30 });
    if (card.removed || card.id !== id) return false;
    follow(card, cutout);
  } catch (error) {
    if (error.temporary || error.status >= 500) throw error;
    if (error.status !== 401 && !card.removed && card.id === id) card.fail(error);
  }
  return card.state !== state;
}

// Shows a cutout as the server returned it; once it is done, downloads its result.
export function follow(card, cutout) {
  if (cutout.status === "done") {
    card.to("fetching", { cutout });
    downloading(() => download(card)).catch(() => {});
  } else if (cutout.status === "failed") {
    const { code, message, next_step } = cutout;
    card.fail(new Problem(200, { code, detail: message, next_step }));
  } else {
    card.to(cutout.status === "working" ? "working" : "queued");
  }
}

async function download(card) {
  const { id } = card;
  const outdated = () => card.removed || card.id !== id;
  for (let attempt = 1; !outdated(); attempt += 1) {
    try {
      const result = await call(`${cutoutPath(id)}/image`, { as: "blob", seconds: 300 });
      const after = await preview(result);
      if (outdated()) release(after);
      else {
        card.showChosenView();
        card.to("done", { result, after });
      }
      return;
    } catch (error) {
      if (outdated()) return;
      const busy = error.status === 429 || error.status === 503;
      if (!busy && (!error.temporary || attempt >= MAX_ATTEMPTS)) {
        card.fail(error);
        return;
      }
      await pause(1000 * (error.retryAfter ?? 2 ** Math.min(attempt, MAX_ATTEMPTS)));
    }
  }
}
