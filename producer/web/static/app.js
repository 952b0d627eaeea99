// Starts the page: opens a view, fills the model lists.

import * as api from "./api.js";
import * as batches from "./batches.js";
import * as cutouts from "./cutouts.js";
import { byId, h, notice } from "./dom.js";
import { pause } from "./queue.js";

const MODELS = {
  u2net: "Large and thorough",
  "u2net-int8": "Thorough, and fast on most servers",
  u2netp: "Small and quick",
  "u2netp-int8": "The smallest and quickest",
};

function openView() {
  const view = location.hash === "#batches" ? "batches" : "cutouts";
  for (const name of ["cutouts", "batches"]) {
    byId(name).hidden = name !== view;
    if (name === view) byId(`to-${name}`).setAttribute("aria-current", "page");
    else byId(`to-${name}`).removeAttribute("aria-current");
  }
  batches.setVisible(view === "batches");
}

function showModelHint() {
  byId("model-hint").textContent = MODELS[byId("model").value] ?? "";
}

async function loadModels() {
  for (;;) {
    try {
      const { models: names, default: defaultModel } = await api.call("models");
      for (const id of ["model", "batch-model"]) {
        const chosen = byId(id).value || defaultModel;
        byId(id).replaceChildren(...names.map((name) => h("option", { value: name, selected: name === chosen }, name)));
      }
      showModelHint();
      notice("models", "");
      return;
    } catch (error) {
      if (error.status === 401) return; // loaded again once a key is entered
      notice("models", error.sentence ?? String(error));
      await pause(3000);
    }
  }
}

api.start();
cutouts.start();
batches.start();
byId("model").addEventListener("change", showModelHint);
api.onKey(loadModels);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the URL fragment selects the view
  byId("main").focus();
});
addEventListener("hashchange", openView);
openView();
loadModels();
