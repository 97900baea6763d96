// The questions of an item: large buttons, digits and letters, one active question at a time.

export class Questions {
  constructor(form, questions, onChange) {
    this.form = form;
    this.onChange = onChange; // (field, value): told at once, so that nothing waits to be stored
    this.rows = [];
    for (const question of questions) {
      for (const field of question.fields) this.rows.push({ question, field });
    }
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // Starts an item; `parts` are answers given before a pause or an undo.
  start(parts) {
    this.values = {};
    this.drop();
    this.form.replaceChildren(...this.rows.map((row) => this.build(row)));
    for (const { question, field } of this.rows) {
      if (field in parts) this.values[field] = parts[field];
      else if (question.kind === "grade") this.values[field] = question.values[0];
      else if (question.kind === "marks") this.values[field] = [];
      else if (question.kind === "text") this.values[field] = "";
    }
    this.refresh();
    this.activate(this.firstOpen());
  }

  build(row) {
    const { question, field } = row;
    const set = document.createElement("fieldset");
    const legend = document.createElement("legend");
    const side = question.sides.length ? `, ${field.split(".").pop()}` : "";
    legend.textContent = question.text + side + (question.key ? ` [${question.key}]` : "");
    set.dataset.field = field;
    set.append(legend);
    set.addEventListener("pointerdown", () => this.activate(this.rows.indexOf(row)));
    if (question.kind === "text") {
      const area = document.createElement("textarea");
      Object.assign(area, { rows: 2, maxLength: 2000, name: field });
      area.addEventListener("input", () => this.typed(field, area.value));
      area.addEventListener("change", () => this.flush());
      set.append(area);
    } else if (question.kind === "marks") {
      const count = document.createElement("span");
      count.className = "count";
      set.append(count);
    } else {
      const choices = document.createElement("div");
      choices.className = "choices";
      question.values.forEach((value, place) => {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: question.choices[place] });
        button.dataset.value = value;
        button.addEventListener("click", () => this.choose(row, value));
        choices.append(button);
      });
      set.append(choices);
    }
    row.set = set;
    return set;
  }

  choose(row, value) {
    this.set(row.field, value);
    const here = this.rows.indexOf(row);
    const open = this.rows.findIndex((other, place) => place > here && !(other.field in this.values));
    this.activate(open >= 0 ? open : this.firstOpen(here));
  }

  set(field, value) {
    this.values[field] = value;
    this.refresh();
    this.onChange(field, value);
  }

  // Words are told a moment after the last letter, at once when the reader goes on or away.
  typed(field, text) {
    this.values[field] = text;
    this.drop();
    this.late = { field, timer: setTimeout(() => this.flush(), 400) };
  }

  flush() {
    const late = this.late;
    this.drop();
    if (late) this.onChange(late.field, this.values[late.field]);
  }

  drop() {
    if (this.late) clearTimeout(this.late.timer);
    this.late = null;
  }

  refresh() {
    for (const { question, field, set } of this.rows) {
      const value = this.values[field];
      if (question.kind === "text") { const area = set.querySelector("textarea"); if (area.value !== value) area.value = value; }
      else if (question.kind === "marks") set.querySelector(".count").textContent = `${value.length} marked (M or double click; Delete removes the last)`;
      else for (const button of set.querySelectorAll("button")) button.setAttribute("aria-pressed", String(Number(button.dataset.value) === value));
    }
  }

  firstOpen(otherwise = 0) {
    const open = this.rows.findIndex(({ field }) => !(field in this.values));
    return open >= 0 ? open : otherwise;
  }

  activate(place) {
    this.active = (place + this.rows.length) % this.rows.length;
    this.rows.forEach(({ set }, number) => set.classList.toggle("active", number === this.active));
  }

  // Name of the first required question without an answer, or "".
  missing() {
    const open = this.rows.find(({ question, field }) => question.required && !(field in this.values));
    return open ? open.set.querySelector("legend").textContent : "";
  }

  get marksRow() { return this.rows.find(({ question }) => question.kind === "marks"); }

  // Whether a key was an answer.
  key(key) {
    const graded = this.rows.find(({ question }) => question.key && question.key === key.toLowerCase());
    if (graded) {
      const { values } = graded.question;
      this.set(graded.field, values[(values.indexOf(this.values[graded.field]) + 1) % values.length]);
      return true;
    }
    const step = { "[": -1, "]": 1, n: 1, N: -1 }[key];
    if (step) {
      this.activate(this.active + step);
      const area = this.rows[this.active].set.querySelector("textarea");
      if (area) area.focus();
      return true;
    }
    const row = this.rows[this.active];
    if (/^[0-9]$/.test(key) && row && row.question.values.includes(Number(key))) {
      this.choose(row, Number(key));
      return true;
    }
    return false;
  }
}
