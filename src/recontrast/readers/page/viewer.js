// Linked planes of one or two volumes: crosshair, slices, zoom, window, ruler, marks.
import { PLANES, isMirrored, lookup, paint, sides } from "./planes.js";

const NAMES = Object.keys(PLANES);
const SHEET_SLICES = 8;

export class Viewer {
  constructor(holder, options) {
    this.holder = holder;
    this.options = options; // mode, plane, convention, white, levels, onMove, onMark
    this.ruling = false;
    this.panes = [];
    new ResizeObserver(() => this.draw()).observe(holder);
  }

  // Shows the volumes of an item; marks are voxel coordinates.
  show(volumes, shape, spacing) {
    Object.assign(this, { volumes, shape, spacing });
    this.marks = [];
    this.line = null;
    this.share = 0;
    this.plane = this.options.plane;
    this.build();
    this.reset();
  }

  clear() { this.volumes = null; this.panes = []; this.holder.replaceChildren(); }

  reset() {
    this.cross = this.shape.map((count) => Math.floor(count / 2));
    this.zoom = 1;
    this.pan = [0, 0, 0]; // mm along each axis
    this.line = null;
    this.setWindow(this.options.white / 2, this.options.white);
  }

  setWindow(level, width) {
    this.level = Math.max(0, Math.min(this.options.levels, level));
    this.width = Math.max(16, Math.min(2 * this.options.levels, width));
    this.table = lookup(this.options.levels, this.level, this.width);
    this.draw();
  }

  build() {
    const { mode } = this.options;
    const others = NAMES.filter((name) => name !== this.plane);
    let wanted;
    if (mode === "sheet") wanted = Array.from({ length: SHEET_SLICES }, (_, place) => ({ name: "axial", place }));
    else if (mode === "side-by-side") wanted = [0, 1].map((volume) => ({ name: this.plane, volume }));
    else wanted = [this.plane, ...others].map((name) => ({ name }));
    this.holder.className = { sheet: "sheet", "side-by-side": "two" }[mode] || "three";
    this.panes = wanted.map((what, number) => {
      const canvas = document.createElement("canvas");
      canvas.className = number ? "" : "large";
      canvas.dataset.plane = what.name;
      const pane = { ...what, canvas, plane: PLANES[what.name], small: document.createElement("canvas") };
      this.listen(pane);
      return pane;
    });
    this.holder.replaceChildren(...this.panes.map((pane) => pane.canvas));
  }

  // Moves the picture so that the crosshair is in the middle of each pane.
  centre() {
    this.pan = this.cross.map((index, axis) => (this.shape[axis] / 2 - (index + 0.5)) * this.spacing[axis]);
    this.draw();
  }

  // One end of the ruler at the crosshair, then the other; between them the line follows the crosshair.
  rule() {
    if (this.line && this.line.follows) this.line.follows = false;
    else this.line = { pane: this.panes[0], from: [...this.cross], to: [...this.cross], follows: true };
    this.draw();
  }

  follow() {
    if (!this.line || !this.line.follows) return;
    const { normal } = this.line.pane.plane;
    this.line.to = this.cross.map((index, axis) => (axis === normal ? this.line.from[axis] : index));
  }

  nextPlane() {
    this.line = null;
    this.plane = NAMES[(NAMES.indexOf(this.plane) + 1) % NAMES.length];
    this.build();
    this.draw();
  }

  scroll(name, steps) {
    this.moveTo(PLANES[name].normal, this.cross[PLANES[name].normal] + steps);
  }

  moveTo(axis, index) {
    this.cross[axis] = Math.max(0, Math.min(this.shape[axis] - 1, Math.round(index)));
    this.follow();
    this.draw();
  }

  toggleMark() {
    this.marks.push([...this.cross]);
    this.options.onMark(this.marks);
    this.draw();
  }

  dropMark() {
    this.marks.pop();
    this.options.onMark(this.marks);
    this.draw();
  }

  // One draw a frame, however many events come.
  draw() {
    if (this.waiting || !this.volumes) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      if (!this.volumes) return;
      for (const pane of this.panes) this.drawPane(pane);
      this.options.onMove(this);
    });
  }

  indexOf(pane) {
    if (pane.place === undefined) return this.cross[pane.plane.normal];
    const depth = this.shape[2];
    const moved = this.cross[2] - Math.floor(depth / 2);
    return Math.max(0, Math.min(depth - 1, Math.round(depth * (0.3 + (0.55 * pane.place) / (SHEET_SLICES - 1))) + moved));
  }

  // Where a pane's picture lies: pixels for a mm, size in mm, and the screen position of its middle.
  frame(pane) {
    const { plane, canvas } = pane;
    const size = [this.shape[plane.across] * this.spacing[plane.across], this.shape[plane.up] * this.spacing[plane.up]];
    const scale = this.zoom * Math.min(canvas.width / size[0], canvas.height / size[1]);
    const mirrored = isMirrored(plane, this.options.convention);
    const pan = [this.pan[plane.across] * (mirrored ? -1 : 1), -this.pan[plane.up]];
    return { size, scale, mirrored, middle: [canvas.width / 2 + pan[0] * scale, canvas.height / 2 + pan[1] * scale] };
  }

  toScreen(pane, voxel) {
    const { size, scale, mirrored, middle } = this.frame(pane);
    const x = (voxel[pane.plane.across] + 0.5) * this.spacing[pane.plane.across] - size[0] / 2;
    const y = size[1] / 2 - (voxel[pane.plane.up] + 0.5) * this.spacing[pane.plane.up];
    return [middle[0] + (mirrored ? -x : x) * scale, middle[1] + y * scale];
  }

  toVoxel(pane, point) {
    const { size, scale, mirrored, middle } = this.frame(pane);
    const x = ((point[0] - middle[0]) / scale) * (mirrored ? -1 : 1);
    const y = (point[1] - middle[1]) / scale;
    const voxel = [...this.cross];
    voxel[pane.plane.normal] = this.indexOf(pane);
    voxel[pane.plane.across] = (x + size[0] / 2) / this.spacing[pane.plane.across] - 0.5;
    voxel[pane.plane.up] = (size[1] / 2 - y) / this.spacing[pane.plane.up] - 0.5;
    return voxel;
  }

  drawPane(pane) {
    const { canvas, plane, small } = pane;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const [columns, rows] = [this.shape[plane.across], this.shape[plane.up]];
    if (small.width !== columns || small.height !== rows) {
      Object.assign(small, { width: columns, height: rows });
      pane.image = new ImageData(columns, rows);
      pane.pixels = new Uint32Array(pane.image.data.buffer);
    }
    const { size, scale, mirrored, middle } = this.frame(pane);
    const index = this.indexOf(pane);
    const first = this.volumes[pane.volume || 0];
    const second = pane.volume === undefined ? this.volumes[1] : null;
    paint(pane.pixels, first, second, this.share, this.shape, plane, index, mirrored, this.table);
    small.getContext("2d").putImageData(pane.image, 0, 0);
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    const corner = [middle[0] - (size[0] * scale) / 2, middle[1] - (size[1] * scale) / 2];
    context.drawImage(small, corner[0], corner[1], size[0] * scale, size[1] * scale);
    this.drawOver(context, pane, index, scale, ratio);
    canvas.dataset.index = index;
    canvas.classList.toggle("active", pane.name === this.plane && pane.place === undefined);
  }

  drawOver(context, pane, index, scale, ratio) {
    const { width, height } = pane.canvas;
    context.font = `${13 * ratio}px system-ui, sans-serif`;
    context.fillStyle = context.strokeStyle = "#a08a50";
    context.lineWidth = ratio;
    if (pane.place === undefined) {
      const [x, y] = this.toScreen(pane, this.cross);
      const free = 12 * ratio; // nothing is drawn over what is looked at
      stroke(context, [[x, 0, x, y - free], [x, y + free, x, height], [0, y, x - free, y], [x + free, y, width, y]]);
    }
    const letters = sides(pane.plane, this.options.convention);
    const text = (word, x, y, align) => { // on a dark rim, so that it is read over the brightest image and on a line
      Object.assign(context, { textAlign: align, strokeStyle: "#000", lineWidth: 4 * ratio });
      context.strokeText(word, x, y);
      Object.assign(context, { strokeStyle: "#a08a50", lineWidth: ratio });
      context.fillText(word, x, y);
    };
    text(letters.left, 6 * ratio, height / 2, "left");
    text(letters.right, width - 6 * ratio, height / 2, "right");
    text(letters.top, width / 2, 16 * ratio, "center");
    text(letters.bottom, width / 2, height - 8 * ratio, "center");
    if (pane.volume !== undefined) text(`${pane.volume + 1}`, 10 * ratio, 22 * ratio, "left");
    stroke(context, [[10 * ratio, height - 12 * ratio, 10 * ratio + 50 * scale, height - 12 * ratio]]);
    text("50 mm", 10 * ratio, height - 18 * ratio, "left");
    for (const mark of this.marks) {
      const far = Math.abs(mark[pane.plane.normal] - index) * this.spacing[pane.plane.normal];
      if (far > 5) continue;
      const [x, y] = this.toScreen(pane, mark);
      context.beginPath();
      context.arc(x, y, Math.max(6 * ratio, 5 * scale), 0, 2 * Math.PI);
      context.stroke();
    }
    if (this.line && this.line.pane === pane && Math.round(this.line.from[pane.plane.normal]) === index) {
      const [from, to] = [this.toScreen(pane, this.line.from), this.toScreen(pane, this.line.to)];
      stroke(context, [[...from, ...to]]);
      text(`${this.lineLength().toFixed(1)} mm`, to[0] + 8 * ratio, to[1], "left");
    }
  }

  lineLength() {
    const { from, to } = this.line;
    return Math.hypot(...from.map((value, axis) => (value - to[axis]) * this.spacing[axis]));
  }

  listen(pane) {
    const { canvas } = pane;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
    };
    let drag = null;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      const kind = event.button === 2 ? "window" : event.shiftKey || event.button === 1 ? "pan" : this.ruling ? "rule" : "cross";
      drag = { kind, x: event.clientX, y: event.clientY };
      if (kind === "rule") this.line = { pane, from: this.toVoxel(pane, at(event)), to: this.toVoxel(pane, at(event)) };
      if (kind === "cross") this.crossTo(pane, at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      if (drag.kind === "cross") this.crossTo(pane, at(event));
      if (drag.kind === "rule") { this.line.to = this.toVoxel(pane, at(event)); this.draw(); }
      if (drag.kind === "window") this.setWindow(this.level + 3 * dy, this.width + 4 * dx);
      if (drag.kind === "pan") this.panBy(pane, dx, dy);
      Object.assign(drag, { x: event.clientX, y: event.clientY });
    });
    canvas.addEventListener("pointerup", () => { drag = null; });
    canvas.addEventListener("dblclick", () => this.options.onDoubleClick());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) this.zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
      else this.scroll(pane.name, event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
  }

  crossTo(pane, point) {
    if (pane.place !== undefined) return;
    this.toVoxel(pane, point).forEach((value, axis) => {
      this.cross[axis] = Math.max(0, Math.min(this.shape[axis] - 1, Math.round(value)));
    });
    this.follow();
    this.draw();
  }

  panBy(pane, dx, dy) {
    const { scale, mirrored } = this.frame(pane);
    const ratio = devicePixelRatio || 1;
    this.pan[pane.plane.across] += ((dx * ratio) / scale) * (mirrored ? -1 : 1);
    this.pan[pane.plane.up] -= (dy * ratio) / scale;
    this.draw();
  }

  zoomBy(factor) { this.zoom = Math.max(0.5, Math.min(12, this.zoom * factor)); this.draw(); }
}

function stroke(context, lines) {
  context.beginPath();
  for (const [x1, y1, x2, y2] of lines) { context.moveTo(x1, y1); context.lineTo(x2, y2); }
  context.stroke();
}
