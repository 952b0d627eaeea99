// The view of cutouts: takes photographs in, counts and filters them, saves all results.

import { onKey } from "./api.js";
import { Card, cards, groupOf } from "./card.js";
import { announce, byId, confirmed, count, save, setText } from "./dom.js";
import { dropped, pasted, picked } from "./files.js";
import { pause } from "./queue.js";
import { wake } from "./results.js";
import { discard, startUploads } from "./uploads.js";
import { archives, cutoutName, distinct, zip } from "./zip.js";

const CARDS_AT_A_TIME = 20; // are added before the page is drawn again

const actions = { changed: tally, retry, remove };

function retry(card) {
  discard(card);
  card.restart();
  startUploads();
}

function remove(card) {
  const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
  const focused = card.element.contains(document.activeElement);
  removeAll([card]);
  if (focused) (next?.querySelector(".buttons button") ?? byId("choose")).focus();
}

function removeAll(list) {
  for (const card of list) {
    card.remove();
    discard(card);
  }
  tally();
}

let tallying = false;

function tally() {
  if (tallying) return;
  tallying = true;
  requestAnimationFrame(showCounts);
}

function showCounts() {
  tallying = false;
  const counts = { all: cards.size, active: 0, done: 0, failed: 0 };
  for (const card of cards) counts[groupOf(card.state)] += 1;
  for (const element of document.querySelectorAll("[data-count]")) {
    setText(element, count(counts[element.dataset.count]));
  }
  const any = cards.size > 0;
  byId("work").hidden = !any;
  byId("cutouts").classList.toggle("busy", any);
  byId("zip").disabled = !counts.done || packing;
  if (!packing) setText(byId("zip"), counts.done > 1 ? `Download all ${count(counts.done)}` : "Download all");
  byId("retry-all").hidden = counts.failed < 2;
  byId("none-shown").hidden = !any || counts[byId("cards").dataset.filter] !== 0;
  document.title = counts.active ? `${count(counts.active)} in progress · cutout` : "cutout";
}

async function add(files) {
  if (!files.length) return;
  if (byId("cutouts").hidden) location.hash = "#cutouts";
  for (let start = 0; start < files.length; start += CARDS_AT_A_TIME) {
    const added = files.slice(start, start + CARDS_AT_A_TIME).map((file) => new Card(file, actions));
    added.forEach((card) => cards.add(card));
    byId("cards").append(...added.map((card) => card.element));
    tally();
    startUploads();
    await pause(0);
  }
  announce(files.length > 1 ? `${files.length} photographs added.` : "1 photograph added.");
}

let packing = false;

async function downloadAll() {
  const done = [...cards].filter((card) => card.state === "done");
  const names = distinct(done.map((card) => cutoutName(card.name, card.result)));
  const parts = archives(done.map((card, index) => ({ name: names[index], blob: card.result })));
  packing = true;
  byId("zip").disabled = true;
  let packed = 0;
  try {
    for (const [index, entries] of parts.entries()) {
      const archive = await zip(entries, () => {
        packed += 1;
        setText(byId("zip"), `Packing ${count(packed)} of ${count(done.length)}`);
      });
      save(archive, parts.length > 1 ? `cut-outs-${index + 1}.zip` : "cut-outs.zip");
    }
    done.forEach((card) => { card.saved = true; });
    announce("The archive is ready.");
  } finally {
    packing = false;
    tally();
  }
}

async function clear() {
  const unsaved = [...cards].filter((card) => card.state !== "failed" && !card.saved).length;
  const text = unsaved === 1 ? "One photograph has not been downloaded. The server will delete it."
    : `${count(unsaved)} photographs have not been downloaded. The server will delete them.`;
  if (unsaved && !(await confirmed("Clear the list?", text, "Clear", "Keep"))) return;
  removeAll([...cards]);
  byId("choose").focus();
}

function setBackdrop() {
  const backdrop = document.querySelector("[name=backdrop]:checked").value;
  document.documentElement.dataset.backdrop = backdrop;
  document.documentElement.style.setProperty("--chosen", byId("colour").value);
}

function acceptDrops() {
  let depth = 0; // dragenter and dragleave come in pairs for every element that is crossed
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const setDepth = (value) => {
    depth = Math.max(0, value);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", (event) => hasFiles(event) && setDepth(depth + 1));
  addEventListener("dragleave", (event) => hasFiles(event) && setDepth(depth - 1));
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setDepth(0);
    await add(await dropped(event.dataTransfer));
  });
}

export function start() {
  byId("choose").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", async () => {
    const files = picked(byId("files").files);
    byId("files").value = "";
    await add(files);
  });
  addEventListener("paste", async (event) => {
    const files = pasted(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    await add(files);
  });
  acceptDrops();
  byId("cards").dataset.filter = "all";
  byId("filter").addEventListener("change", (event) => {
    byId("cards").dataset.filter = event.target.value;
    tally();
  });
  byId("view").addEventListener("change", () => {
    cards.forEach((card) => card.state === "done" && card.showChosenView());
  });
  byId("backdrop").addEventListener("change", setBackdrop);
  for (const type of ["click", "input"]) {
    byId("colour").addEventListener(type, () => {
      document.querySelector("[name=backdrop][value=colour]").checked = true;
      setBackdrop();
    });
  }
  setBackdrop();
  byId("zip").addEventListener("click", downloadAll);
  byId("clear").addEventListener("click", clear);
  byId("retry-all").addEventListener("click", () => {
    [...cards].filter((card) => card.state === "failed").forEach(retry);
  });
  byId("look-close").addEventListener("click", () => byId("look-dialog").close());
  onKey(() => {
    startUploads();
    wake();
  });
  addEventListener("beforeunload", (event) => {
    if ([...cards].some((card) => groupOf(card.state) === "active")) event.preventDefault();
  });
}
