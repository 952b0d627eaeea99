// What bounds the page: how much is in flight, and how often it asks.

// Returns a function that runs what it is given, at most `most` at a time, in order.
export function limiter(most) {
  const waiting = [];
  let free = most;
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

const FASTEST = 500;
const SLOWEST = 2000;

// Runs `round` again and again while the tab is visible. What it returns says when the next is
// due: "changed" soon, "same" ever later, a number after so many ms, "idle" not before `wake`.
export class Poller {
  #round;
  #delay = FASTEST;
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
    this.#delay = FASTEST;
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
    if (answer === "changed") this.#delay = FASTEST;
    const wait = typeof answer === "number" ? answer : this.#delay;
    if (answer === "same") this.#delay = Math.min(SLOWEST, this.#delay * 1.3);
    this.#timer = setTimeout(() => this.#run(), wait);
  }
}

export const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
