// The course of a reading: enter, begin, item after item, pause, end. What was answered lies on the server at once.
import { Api, Refused } from "./api.js";
import { Questions } from "./questions.js";
import { Viewer } from "./viewer.js";

const at = (id) => document.getElementById(id);
const SECRET = "recontrast-reading-room";
let api, state, viewer, questions, ahead;
let clock = { spent: 0, since: 0 }; // milliseconds the item was on the screen
let reading = false, busy = false;

function banner(text) {
  at("banner").textContent = text;
  at("banner").hidden = !text;
}

function screen(title, text, button = "", code = false) {
  reading = false;
  stopClock();
  at("desk").hidden = true;
  at("screen").hidden = false;
  at("screen-title").textContent = title;
  at("screen-text").textContent = text;
  at("code-label").hidden = !code;
  at("skip").hidden = true;
  at("go").hidden = !button;
  at("go").textContent = button;
  if (button && !code) at("go").focus();
}

// The secret comes behind the # of the link, which is not sent; it stays in this tab and leaves the address bar.
function takeSecret() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(SECRET, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(SECRET) || "";
}

async function enter() {
  const secret = takeSecret();
  if (!secret) return screen("Reading room", "Open the link you were given, or enter its code.", "Enter", true);
  api = new Api(secret, banner);
  try {
    let told = await api.state();
    if (api.kept().length) {
      screen("Reading room", "Storing what was not yet stored …");
      await api.sendKept();
      told = await api.state();
    }
    follow(told, true);
  } catch (error) {
    if (error.status === 401) sessionStorage.removeItem(SECRET);
    screen("Reading room", error.message, "Try again", error.status === 401);
  }
}

function follow(next, pausing = false) {
  const first = !state;
  state = next;
  if (first) setUp();
  at("title").textContent = state.title;
  at("reader").textContent = `Reader ${state.reader}`;
  const sessions = state.sessions > 1 ? `, session ${state.session + 1} of ${state.sessions}` : "";
  at("place").textContent = state.phase === "reading" ? `Item ${state.place + 1} of ${state.total}${sessions}` : "";
  at("progress").value = state.total ? state.place / state.total : 0;
  at("undo").disabled = !state.previous;
  if (state.phase !== "reading") return between();
  if (pausing) return screen(state.title, state.instructions, state.place ? "Go on" : "Begin");
  return present();
}

function between() {
  viewer.clear();
  delete document.body.dataset.item;
  const day = state.opens ? new Date(state.opens).toLocaleString() : "";
  if (state.phase === "session-end") screen("All items are answered", "Go back to change the last one, or finish. Finished sessions stay closed.", "Finish");
  else if (state.phase === "waiting") screen("Thank you", `The next session opens on ${day}. Everything is stored.`);
  else if (state.phase === "closed") screen("Closed", day ? `This study opens on ${day}.` : "This study is closed.");
  else screen("Thank you", "You have read every item. Everything is stored.");
}

function setUp() {
  viewer = new Viewer(at("panes"), { ...pick(state), onMove: moved, onMark: marked, onDoubleClick: mark });
  questions = new Questions(at("questions"), state.questions, (field, value) => {
    api.record(state.item.id, "part", { [field]: value }, spent()).catch(trouble);
  });
  at("fader").hidden = state.mode !== "overlay";
}

function pick({ mode, plane, convention, white, levels }) { return { mode, plane, convention, white, levels }; }

// Puts the item on the screen; its pictures may have been fetched while the one before was read.
async function present() {
  const item = state.item;
  delete document.body.dataset.item;
  screen("", "Loading …");
  try {
    const volumes = await (ahead && ahead.id === item.id ? ahead.volumes : fetchAll(item));
    if (state.item !== item) return;
    at("screen").hidden = true;
    at("desk").hidden = false;
    viewer.show(volumes, item.shape, item.spacing);
    banner("");
  } catch (error) {
    if (state.item !== item) return;
    ahead = null;
    viewer.clear();
    screen("The image is not here", error.message, "Try again"); // nothing can be answered that was not seen
    at("skip").hidden = error.status !== 410;
    return;
  }
  at("practice").hidden = !item.training;
  at("mix").value = 0;
  questions.start(item.parts);
  if (questions.marksRow && viewer.volumes) viewer.marks = structuredClone(questions.values[questions.marksRow.field]);
  clock = { spent: item.spent, since: 0 };
  startClock();
  reading = true;
  requestAnimationFrame(() => requestAnimationFrame(() => { document.body.dataset.item = item.id; }));
  prepareNext();
}

function fetchAll(item) {
  return Promise.all(Array.from({ length: item.images }, (_, number) => api.image(item.id, number)));
}

function prepareNext() {
  ahead = null;
  if (!state.next) return;
  ahead = { id: state.next.id, volumes: fetchAll(state.next) };
  ahead.volumes.catch(() => { ahead = null; }); // asked again, and reported, when it is its turn
}

async function act(kind, item, values = {}) {
  if (busy) return;
  busy = true;
  at("store").disabled = true;
  try {
    follow(await api.record(item, kind, values, spent()));
  } catch (error) {
    await trouble(error);
  } finally {
    busy = false;
    at("store").disabled = false;
  }
}

function store() {
  const missing = questions.missing();
  if (missing) return banner(`Not answered: ${missing}`);
  document.activeElement.blur();
  questions.flush();
  return act("answer", state.item.id, { ...questions.values });
}

async function trouble(error) {
  banner(error.message);
  if (error instanceof Refused && [409, 423].includes(error.status)) follow(await api.state(), true);
}

function mark() { if (reading && questions.marksRow && viewer.volumes) viewer.toggleMark(); }
function marked(marks) { questions.set(questions.marksRow.field, marks.map((mark) => [...mark])); }

function moved(view) {
  const line = view.line ? `, ruler ${view.lineLength().toFixed(1)} mm` : "";
  const millimetres = view.cross.map((index, axis) => (index * view.spacing[axis]).toFixed(0)).join(" ");
  at("position").textContent = `Slice ${view.cross.map((index) => index + 1).join(" ")} (${millimetres} mm), window ${Math.round(view.width)} level ${Math.round(view.level)}${line}`;
}

function pause() {
  if (!reading) return;
  questions.flush();
  screen("Pause", "The clock stands still. Everything is stored.", "Go on");
}

async function go() {
  if (!at("code-label").hidden) {
    sessionStorage.setItem(SECRET, at("code").value.split("#").pop().trim());
    return enter();
  }
  if (!state) return enter();
  if (state.phase === "session-end") return act("finish", String(state.session));
  if (state.phase !== "reading") return;
  if (document.body.dataset.item !== state.item.id) return present();
  at("screen").hidden = true;
  at("desk").hidden = false;
  reading = true;
  startClock();
}

function startClock() { if (!clock.since && !document.hidden) clock.since = performance.now(); }
function stopClock() { if (clock.since) { clock.spent += performance.now() - clock.since; clock.since = 0; } }
function spent() { return clock.spent + (clock.since ? performance.now() - clock.since : 0); }

function viewKey(event) {
  const { key } = event;
  const axis = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[key];
  if (event.shiftKey && key.startsWith("Arrow")) nudge(key);
  else if (axis) viewer.scroll(viewer.plane, axis);
  else if (key === "Tab") viewer.nextPlane();
  else if (key === "+" || key === "=") viewer.zoomBy(1.2);
  else if (key === "-") viewer.zoomBy(1 / 1.2);
  else if (key === "," || key === ".") viewer.setWindow(viewer.level, viewer.width * (key === "." ? 1.15 : 1 / 1.15));
  else if (key === "<" || key === ">") viewer.setWindow(viewer.level + (key === "<" ? 100 : -100), viewer.width);
  else if (key === "w") viewer.reset();
  else if (key === "l") rule();
  else if (key === "m") mark();
  else if (key === "Delete" && questions.marksRow) viewer.dropMark();
  else if (key === "f") fade(viewer.share < 0.5 ? 100 : 0);
  else if (key === "v" || key === "b") fade(Math.max(0, Math.min(100, Math.round(100 * viewer.share) + (key === "v" ? 10 : -10))));
  else if (key === "c") viewer.centre();
  else if (key === "x") viewer.rule();
  else return false;
  return true;
}

function nudge(key) {
  const normal = { axial: 2, coronal: 1, sagittal: 0 }[viewer.plane];
  const [across, up] = [0, 1, 2].filter((axis) => axis !== normal);
  const right = state.convention === "radiological" || normal === 0 ? -1 : 1;
  if (key === "ArrowLeft" || key === "ArrowRight") viewer.moveTo(across, viewer.cross[across] + (key === "ArrowRight" ? right : -right));
  else viewer.moveTo(up, viewer.cross[up] + (key === "ArrowUp" ? 1 : -1));
}

function fade(value) {
  at("mix").value = value;
  viewer.share = value / 100;
  viewer.draw();
}

function rule() {
  viewer.ruling = !viewer.ruling;
  at("ruler").setAttribute("aria-pressed", String(viewer.ruling));
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || at("keys").open) return;
  if (event.target instanceof HTMLTextAreaElement && event.key === "Escape") return event.target.blur();
  if (event.target instanceof HTMLTextAreaElement || event.target === at("code")) return;
  if (!reading) {
    if (event.key === "Enter" && event.target !== at("go") && !at("go").hidden && at("code-label").hidden) go();
    if (event.key.toLowerCase() === "u" && state && state.phase === "session-end") undo();
    return;
  }
  const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  let taken = true;
  if (questions.key(event.key)) banner("");
  else if (event.key === "Enter" || event.key === " ") store();
  else if (letter === "u") undo();
  else if (letter === "p") pause();
  else if (letter === "h") at("keys").showModal();
  else taken = Boolean(viewer.volumes) && viewKey({ key: letter, shiftKey: event.shiftKey });
  if (taken) event.preventDefault();
}

function undo() { if (state && state.previous) act("undo", state.previous); }

document.addEventListener("keydown", key);
document.addEventListener("visibilitychange", () => (document.hidden ? stopClock() : reading && startClock()));
window.addEventListener("pagehide", () => questions && questions.flush());
at("go").addEventListener("click", go);
at("store").addEventListener("click", store);
at("skip").addEventListener("click", () => act("skip", state.item.id));
at("undo").addEventListener("click", undo);
at("pause").addEventListener("click", pause);
at("help").addEventListener("click", () => at("keys").showModal());
at("ruler").addEventListener("click", rule);
at("reset").addEventListener("click", () => viewer.volumes && viewer.reset());
at("mix").addEventListener("input", () => fade(Number(at("mix").value)));
window.addEventListener("hashchange", () => { if (location.hash) { state = undefined; location.reload(); } });
enter();
