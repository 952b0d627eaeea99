// Uploads the waiting photographs, a few at a time, and waits while the server is busy.

import { call, cutoutPath, isLocked, Problem, upload } from "./api.js";
import { cards, newIdempotencyKey } from "./card.js";
import { notice } from "./dom.js";
import { limiter } from "./queue.js";
import { follow, wake } from "./results.js";

const MAX_UPLOADS = 4; // at a time
const MAX_ATTEMPTS = 3;

const deleting = limiter(4);
let sending = 0;
let heldUntil = 0; // no upload starts before this time

export function startUploads() {
  if (isLocked() || Date.now() < heldUntil) return;
  for (const card of cards) {
    if (sending >= MAX_UPLOADS) return;
    if (card.state === "waiting") uploadCard(card);
  }
}

async function uploadCard(card) {
  sending += 1;
  const { signal } = card.abort;
  card.to("sending", { share: 0 });
  try {
    const cutout = await upload(card.file, card.name, card.options, card.key, {
      signal,
      progress: (share) => card.to(card.state, { share }),
    });
    notice("busy", "");
    if (signal.aborted || card.removed) {
      deleteCutout(cutout.id);
    } else {
      card.id = cutout.id;
      follow(card, cutout);
      wake();
    }
  } catch (error) {
    if (!signal.aborted && !card.removed) uploadFailed(card, error);
  } finally {
    sending -= 1;
    startUploads();
  }
}

function uploadFailed(card, error) {
  const problem = error instanceof Problem ? error : new Problem(0, { detail: String(error) });
  if (problem.status !== 0) card.key = newIdempotencyKey(); // the server answered: it created no cutout
  if (problem.status === 401) {
    card.to("waiting"); // for the key
  } else if (problem.status === 429 || problem.status === 503) {
    hold(problem.retryAfter ?? 2, problem.message);
    card.to("waiting");
  } else if (problem.temporary && card.attempts + 1 < MAX_ATTEMPTS) {
    card.attempts += 1;
    hold(2 ** card.attempts, problem.message);
    card.to("waiting");
  } else {
    notice("busy", "");
    card.fail(problem);
  }
}

function hold(seconds, reason) {
  heldUntil = Math.max(heldUntil, Date.now() + seconds * 1000);
  notice("busy", `${reason} Uploads will continue automatically.`);
  setTimeout(() => {
    if (Date.now() < heldUntil) return;
    if (![...cards].some((card) => card.state === "waiting")) notice("busy", "");
    startUploads();
  }, seconds * 1000 + 20);
}

// Stops a card's upload, and deletes its cutout on the server.
export function discard(card) {
  card.abort.abort();
  if (card.id) deleteCutout(card.id);
}

// If this fails, the server forgets the cutout after 7 days.
function deleteCutout(id) {
  deleting(() => call(cutoutPath(id), { method: "DELETE" })).catch(() => {});
}
