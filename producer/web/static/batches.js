// The view of batches: polls and lists them, and starts new ones.

import { call, onKey } from "./api.js";
import { BatchRow } from "./batch.js";
import { announce, byId, notice, openDialog } from "./dom.js";
import { Poller } from "./queue.js";

const ACTIVE_STATES = new Set(["registering", "open", "cancelling"]);
const SHOWN_AT_FIRST = 30; // batches
const SHOWN_MORE = 100;
const IDLE_DELAY = 5000; // milliseconds between polls while no batch is active
const RETRY_DELAY = 3000; // milliseconds until the next poll after an error

const rows = new Map(); // the listed batches, by ID
const poller = new Poller(round);
let limit = SHOWN_AT_FIRST;
let visible = false;
let lastAnswer = "";

async function round() {
  if (!visible) return "idle";
  let batches;
  let leftOut;
  try {
    ({ batches, notice: leftOut } = await call("batches", { seconds: 30 }));
  } catch (error) {
    if (error.status === 401) return "idle";
    notice("batches", error.sentence ?? String(error));
    return RETRY_DELAY;
  }
  notice("batches", leftOut);
  show(batches);
  const answer = JSON.stringify(batches);
  const changed = answer !== lastAnswer;
  lastAnswer = answer;
  if (!batches.some((batch) => ACTIVE_STATES.has(batch.state))) return IDLE_DELAY;
  return changed ? "changed" : "same";
}

function show(batches) {
  const newest = [...batches].sort((a, b) => b.created - a.created);
  const shown = newest.slice(0, limit);
  const shownIds = new Set(shown.map((batch) => batch.id));
  for (const [id, row] of rows) {
    if (shownIds.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  let next = byId("batch-list").firstElementChild;
  for (const batch of shown) {
    let row = rows.get(batch.id);
    if (!row) {
      row = new BatchRow(batch, () => poller.wake());
      rows.set(batch.id, row);
      byId("batch-list").insertBefore(row.element, next);
    } else if (row.element === next) {
      next = next.nextElementSibling;
    }
    row.update(batch);
  }
  byId("no-batches").hidden = batches.length > 0;
  byId("older").hidden = newest.length <= limit;
}

async function submit() {
  const button = byId("batch-submit");
  const error = byId("batch-error");
  error.textContent = "";
  if (![byId("source"), byId("destination")].every((input) => /^s3:\/\/[^/]/.test(input.value.trim()))) {
    error.textContent = "Write locations as s3://bucket or s3://bucket/folder.";
    return undefined;
  }
  button.disabled = true;
  button.textContent = "Starting…";
  try {
    const json = {
      source: byId("source").value.trim(), destination: byId("destination").value.trim(),
      model: byId("batch-model").value || null, force: byId("force").checked,
    };
    return await call("batches", { method: "POST", json });
  } catch (problem) {
    error.textContent = problem.sentence ?? String(problem);
    return undefined;
  } finally {
    button.disabled = false;
    button.textContent = "Start the batch";
  }
}

async function createBatch() {
  byId("batch-error").textContent = "";
  const batch = await openDialog(byId("batch-dialog"), byId("batch-cancel"), submit, null);
  if (!batch) return;
  byId("force").checked = false;
  announce(`Batch ${batch.id} has started: its photographs are being listed.`);
  poller.wake();
}

// Shows or hides the view. The server is polled only while it is visible.
export function setVisible(shown) {
  visible = shown;
  if (shown) poller.wake();
  else poller.stop();
}

export function start() {
  byId("new-batch").addEventListener("click", createBatch);
  byId("older").addEventListener("click", () => {
    limit += SHOWN_MORE;
    poller.wake();
  });
  onKey(() => visible && poller.wake());
}
