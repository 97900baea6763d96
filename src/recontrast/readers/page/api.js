// What goes to the server and comes back. Every record has a random token: sent twice, it is stored once.

const LONGEST_READING = 86400000; // ms in a day; the server refuses more, and a tab may stay open over a weekend

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export class Api {
  constructor(secret, onTrouble) {
    this.secret = secret;
    this.waiting = `recontrast-waiting-${secret}`; // records not yet stored outlive a reload of the tab
    this.onTrouble = onTrouble;      // told what to show while an answer waits to be stored; "" when all is well
    this.queue = Promise.resolve();  // records leave one after the other, in the order they were given
  }

  state() { return this.ask("/api/state").then((response) => response.json()); }

  // Levels of a picture; what the net lost on its way is asked for again, what the server refuses is not.
  async image(item, number) {
    for (const wait of [300, 1000, 3000, 0]) {
      try {
        const response = await this.ask(`/api/items/${item}/images/${number}`);
        return new Uint16Array(await response.arrayBuffer());
      } catch (error) {
        if (error instanceof Refused || !wait) throw error;
        await new Promise((done) => setTimeout(done, wait));
      }
    }
  }

  // Stores a record, however long the server is away; resolves to the new state.
  record(item, kind, values, milliseconds) {
    const body = JSON.stringify({ token: randomToken(), item, kind, values, milliseconds: Math.min(LONGEST_READING, Math.round(milliseconds)) });
    this.keep([...this.kept(), body]);
    return this.send(body);
  }

  send(body) {
    const sent = this.queue.then(() => this.untilStored(body)).finally(() => this.keep(this.kept().filter((other) => other !== body)));
    this.queue = sent.catch(() => {});
    return sent;
  }

  kept() { return JSON.parse(sessionStorage.getItem(this.waiting) || "[]"); }
  keep(bodies) { sessionStorage.setItem(this.waiting, JSON.stringify(bodies)); }

  // Sends what a reload interrupted; what was stored before is known by its token and not stored again.
  async sendKept() {
    for (const body of this.kept()) await this.send(body).catch((error) => { if (!(error instanceof Refused)) throw error; });
  }

  async untilStored(body) {
    for (let wait = 250; ; wait = Math.min(2 * wait, 4000)) {
      try {
        const response = await this.ask("/api/records", { method: "POST", body, keepalive: true });
        const state = await response.json();
        this.onTrouble("");
        return state;
      } catch (error) {
        if (error instanceof Refused && error.status < 500 && error.status !== 429) throw error;
        this.onTrouble(`Not stored yet (${error.message}). Trying again; keep this page open.`);
        await new Promise((done) => setTimeout(done, wait));
      }
    }
  }

  async ask(address, options = {}) {
    const response = await fetch(address, {
      ...options, cache: "no-store", credentials: "omit", redirect: "error",
      headers: { authorization: `Bearer ${this.secret}`, "content-type": "application/json" },
    });
    if (response.ok) return response;
    const told = await response.json().catch(() => ({}));
    throw new Refused(response.status, told.error || `status ${response.status}`);
  }
}

function randomToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
