// Photograph and cut-out on top of each other, with a slider that reveals one or the other. The
// slider is a range input, so it works with pointer and keyboard.

import { byId, h, isolated } from "./dom.js";

export function comparison(name, lazy = true) {
  const picture = (side) => h("img", {
    class: side, alt: "", decoding: "async", loading: lazy ? "lazy" : "eager", draggable: "false",
    hidden: true,
  });
  const [after, before] = [picture("after"), picture("before")];
  const handle = h("span", { class: "handle", "aria-hidden": "true" });
  const range = h("input", {
    type: "range", min: 0, max: 100, step: 1, value: 100, hidden: true,
    "aria-label": `How much of the original is shown: ${name}`,
    input: () => show(),
  });
  const element = h("div", { class: "compare" }, after, before, handle, range);
  handle.hidden = true;

  function show() {
    element.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % original`);
  }

  function setImage(image, url) {
    image.hidden = !url;
    if (url) image.src = url;
    else image.removeAttribute("src");
  }

  return {
    element,
    set(percent) {
      range.value = percent;
      show();
    },
    fill({ beforeUrl, afterUrl, width, height }) {
      setImage(before, beforeUrl);
      setImage(after, afterUrl);
      after.alt = afterUrl ? `Cut-out of ${name}` : "";
      before.alt = beforeUrl && !afterUrl ? name : "";
      const both = Boolean(beforeUrl && afterUrl);
      range.hidden = !both;
      handle.hidden = !both;
      element.classList.toggle("both", both);
      element.classList.toggle("cut", Boolean(afterUrl));
      if (width && height) element.style.setProperty("--ratio", width / height);
      show();
    },
  };
}

// Opens a dialog with the images of two Blobs. `before` is null if they cannot be compared.
export function enlarge({ name, before, after, width, height, percent }) {
  const dialog = byId("look-dialog");
  const large = comparison(name, false);
  const [beforeUrl, afterUrl] = [before, after].map((blob) => blob && URL.createObjectURL(blob));
  byId("look-title").replaceChildren(isolated(name));
  byId("look-content").replaceChildren(large.element);
  large.set(percent);
  large.fill({ beforeUrl, afterUrl, width, height });
  dialog.addEventListener("close", () => {
    [beforeUrl, afterUrl].filter(Boolean).forEach((url) => URL.revokeObjectURL(url));
    byId("look-content").replaceChildren();
  }, { once: true });
  dialog.showModal();
}
