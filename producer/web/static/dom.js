// Builds elements without an HTML parser, so that untrusted text can only ever become text.

export const byId = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// An untrusted name, isolated so that its writing direction does not affect the text around it.
export const isolated = (text) => h("bdi", {}, text);

// The button of this page that does the same as a command that the server's sentences name.
const BUTTON_OF_COMMAND = { resume: "Resume", retry: "Retry", status: "this page" };
export const withButtons = (text) =>
  text.replace(/`cutout (resume|retry|status)`/g, (_, verb) => BUTTON_OF_COMMAND[verb]);

// Returns the nodes of a sentence of the server. Text between backticks becomes code.
export const prose = (text) =>
  withButtons(text).split(/`([^`]+)`/).map((part, index) => (index % 2 ? h("code", {}, part) : part)).filter(Boolean);

const pending = new Map();
let timer = 0;

// Announces a sentence to screen readers. The same sentence about several photographs within 700 ms
// is announced once, with their number.
export function announce(sentence, subject = "") {
  const same = pending.get(sentence) ?? [];
  pending.set(sentence, [...same, subject]);
  timer ||= setTimeout(() => {
    timer = 0;
    const lines = [...pending].map(([text, subjects]) => {
      if (!subjects[0]) return text;
      return subjects.length > 1 ? `${subjects.length} photographs: ${text}` : `${subjects[0]}: ${text}`;
    });
    pending.clear();
    byId("announcer").textContent = lines.join(" ");
  }, 700);
}

const notices = new Map();

// Shows a line at the top of the page until `notice(name, "")`. `action`: a button, as [label, handler].
export function notice(name, text, action) {
  const shown = notices.get(name);
  if (shown && (!text || shown.text !== text)) {
    shown.element.remove();
    notices.delete(name);
  }
  if (!text || notices.has(name)) return;
  const element = h("p", { class: "notice", data: { notice: name } }, h("span", {}, text));
  if (action) element.append(" ", h("button", { type: "button", click: action[1] }, action[0]));
  notices.set(name, { text, element });
  byId("notices").append(element);
}

// Asks a question with two buttons; resolves to true if the user chooses `yes`.
export function confirmed(title, text, yes, no) {
  const dialog = byId("confirm-dialog");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  byId("confirm-no").textContent = no;
  return openDialog(dialog, byId("confirm-no"), () => true, false);
}

// Opens a dialog with a form. Resolves to the result of `answer`, which is called on submit, or to
// `otherwise` if the dialog is closed. If `answer` returns undefined, the dialog stays open.
export function openDialog(dialog, closeButton, answer, otherwise) {
  return new Promise((resolve) => {
    let result = otherwise;
    const form = dialog.querySelector("form");
    const submitted = async (event) => {
      event.preventDefault();
      const value = await answer();
      if (value === undefined || !dialog.open) return;
      result = value;
      dialog.close();
    };
    const leave = () => dialog.close();
    const closed = () => {
      form.removeEventListener("submit", submitted);
      closeButton.removeEventListener("click", leave);
      dialog.removeEventListener("close", closed);
      resolve(result);
    };
    form.addEventListener("submit", submitted);
    closeButton.addEventListener("click", leave);
    dialog.addEventListener("close", closed);
    dialog.showModal();
  });
}

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const integers = new Intl.NumberFormat("en");
export const count = (number) => integers.format(number);

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
