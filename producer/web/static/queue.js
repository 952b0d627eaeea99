// Limits how much the page does at a time and how often it asks the server.

// Returns a function that runs the functions it is given in order, at most `limit` at a time.
export function limiter(limit) {
  const waiting = [];
  let free = limit;
  const next = () => {
    while (free > 0 && waiting.length) {
      free -= 1;
      waiting.shift()();
    }
  };
  return async (work) => {
    await new Promise((start) => {
      waiting.push(start);
      next();
    });
    try {
      return await work();
    } finally {
      free += 1;
      next();
    }
  };
}

const MIN_DELAY = 500; // milliseconds
const MAX_DELAY = 2000;

// Runs `round` repeatedly while the tab is visible. Its result decides when it runs next: "changed":
// after MIN_DELAY; "same": after a delay that grows to MAX_DELAY; a number: after so many
// milliseconds; "idle": at the next `wake`.
export class Poller {
  #round;
  #delay = MIN_DELAY;
  #timer = 0;
  #running = false;
  #again = false;
  #stopped = true;

  constructor(round) {
    this.#round = round;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#clear();
      else if (!this.#stopped) this.wake();
    });
  }

  wake() {
    this.#stopped = false;
    this.#delay = MIN_DELAY;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#clear();
    if (!document.hidden) this.#run();
  }

  stop() {
    this.#stopped = true;
    this.#clear();
  }

  #clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  async #run() {
    this.#running = true;
    this.#again = false;
    let answer = "same";
    try {
      answer = await this.#round();
    } finally {
      this.#running = false;
    }
    if (this.#again) answer = "changed";
    if (answer === "idle") this.#stopped = true;
    if (this.#stopped || document.hidden) return;
    if (answer === "changed") this.#delay = MIN_DELAY;
    const wait = typeof answer === "number" ? answer : this.#delay;
    if (answer === "same") this.#delay = Math.min(MAX_DELAY, this.#delay * 1.3);
    this.#timer = setTimeout(() => this.#run(), wait);
  }
}

export const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
