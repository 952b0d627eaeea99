// Elements made without a parser: whatever comes from outside can only ever become text.

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

// A name that somebody else chose: its writing direction stays its own.
export const named = (text) => h("bdi", {}, text);

// What the server calls by a command, by the button that does it here.
const HERE = { resume: "Resume", retry: "Retry", status: "this page" };
export const spoken = (text) => text.replace(/`cutout (resume|retry|status)`/g, (_, verb) => HERE[verb]);

// Sentences of the server, with what stands between backticks as code.
export const prose = (text) =>
  spoken(text).split(/`([^`]+)`/).map((part, at) => (at % 2 ? h("code", {}, part) : part)).filter(Boolean);

const pending = new Map();
let timer = 0;

// Tells screen readers, politely: many photographs that end at once make one sentence.
export function announce(sentence, subject = "") {
  const same = pending.get(sentence) ?? [];
  pending.set(sentence, [...same, subject]);
  timer ||= setTimeout(() => {
    timer = 0;
    const lines = [...pending].map(([what, subjects]) => {
      if (!subjects[0]) return what;
      return subjects.length > 1 ? `${subjects.length} photographs: ${what}` : `${subjects[0]}: ${what}`;
    });
    pending.clear();
    byId("announcer").textContent = lines.join(" ");
  }, 700);
}

const notices = new Map();

// A line above everything, until `notice(name, "")`; `action` is [label, what it does].
export function notice(name, text, action) {
  const known = notices.get(name);
  if (known && (!text || known.text !== text)) {
    known.element.remove();
    notices.delete(name);
  }
  if (!text || notices.has(name)) return;
  const element = h("p", { class: "notice", data: { notice: name } }, h("span", {}, text));
  if (action) element.append(" ", h("button", { type: "button", click: action[1] }, action[0]));
  notices.set(name, { text, element });
  byId("notices").append(element);
}

// Resolves to whether the person agreed.
export function confirmed(title, text, yes, no) {
  const dialog = byId("confirm-dialog");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  byId("confirm-no").textContent = no;
  return asked(dialog, byId("confirm-no"), () => true, false);
}

// Opens a dialog with a form; resolves to what `answer` returns on submit, or to `otherwise`.
// Where `answer` returns undefined the dialog stays.
export function asked(dialog, close, answer, otherwise) {
  return new Promise((resolve) => {
    let result = otherwise;
    const form = dialog.querySelector("form");
    const submitted = async (event) => {
      event.preventDefault();
      const given = await answer();
      if (given === undefined || !dialog.open) return;
      result = given;
      dialog.close();
    };
    const leave = () => dialog.close();
    const closed = () => {
      form.removeEventListener("submit", submitted);
      close.removeEventListener("click", leave);
      dialog.removeEventListener("close", closed);
      resolve(result);
    };
    form.addEventListener("submit", submitted);
    close.addEventListener("click", leave);
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

const whole = new Intl.NumberFormat("en");
export const count = (number) => whole.format(number);

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
