// The map of the explorer and of the report: a point for every row, its image where the mouse is, all images where the
// map is near. Streamlit calls the default function whenever the data changes; zoom and tool stay as they are.

const REACH = 12; // pixels from a point within which the mouse is on it
const CLICK = 5; // pixels by which the mouse may move in a click
const CELLS = 128; // of the grid on each side
const MOST_IMAGES = 700; // in sight, with which they are drawn instead of dots
const ENLARGED = 4; // times that an image is enlarged at the mouse
const HTML = `
<style>
  .map { position: relative; font: 14px var(--st-font, sans-serif); color: var(--st-text-color); }
  .map > canvas {
    display: block; width: 100%; height: var(--map-height); border-radius: 8px; outline-offset: -2px;
    touch-action: none; cursor: grab;
  }
  .map.lassoing > canvas { cursor: crosshair; }
  .map button {
    font: inherit; color: inherit; background: var(--st-secondary-background-color); padding: 2px 8px;
    border: 1px solid var(--st-border-color); border-radius: 6px; cursor: pointer;
  }
  .map .tools { position: absolute; top: 6px; right: 6px; display: flex; gap: 4px; }
  .map.lassoing [name="lasso"] { background: var(--st-primary-color); color: white; }
  .map .tip {
    position: absolute; pointer-events: none; padding: 6px; border-radius: 6px; display: flex; gap: 8px; z-index: 4;
    background: var(--st-background-color); border: 1px solid var(--st-border-color); white-space: pre;
  }
  .map .tip[hidden] { display: none; }
  .map .legend { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 6px; }
  .map .legend i { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 5px; }
</style>
<canvas tabindex="0" role="img"></canvas>
<div class="tools">
  <button name="lasso" title="Draw around points to select them (or hold Shift)">Lasso</button>
  <button name="in" title="Zoom in (+)">+</button>
  <button name="out" title="Zoom out (-)">&minus;</button>
  <button name="all" title="Show all (0)">All</button>
</div>
<div class="tip" hidden><canvas></canvas><span></span></div>
<div class="legend"></div>
`;

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".map");
  root.map ??= new DigitMap(root);
  root.map.update(data, (rows) => setTriggerValue("picked", rows));
}

class DigitMap {
  constructor(root) {
    this.root = root;
    root.innerHTML = HTML;
    this.canvas = root.querySelector("canvas");
    this.canvas.setAttribute("aria-label", root.title);
    root.removeAttribute("title"); // which the browser would show at the mouse
    this.tip = root.querySelector(".tip");
    this.legend = root.querySelector(".legend");
    this.fingers = new Map();
    for (const button of root.querySelectorAll(".tools button")) button.onclick = () => this.use(button.name);
    const events = { pointerdown: "press", pointermove: "move", pointerup: "lift", pointercancel: "cancel" };
    for (const [event, method] of Object.entries(events)) this.canvas.addEventListener(event, (e) => this[method](e));
    this.canvas.addEventListener("pointerleave", () => this.hover(-1));
    this.canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    this.canvas.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  // data: points, an Arrow table of x, y, row, image, colour and what the tip shows; colours of the palette, with a
  // name each or a scale; selected rows; sprite, the address of all images, side by side; view, the name of the map.
  update(data, pick) {
    const column = (name) => data.points.getChild(name).toArray();
    Object.assign(this, { data, pick, x: column("x"), y: column("y"), row: column("row") });
    this.image = column("image");
    this.colour = column("colour");
    const selected = new Set(data.selected);
    this.selected = this.row.map((row) => selected.has(row));
    this.index();
    if (this.view !== data.view) this.fit();
    this.view = data.view;
    this.names();
    this.load(data.sprite);
    this.hover(-1);
    this.draw();
  }

  async load(address) {
    if (this.address === address) return;
    this.address = address;
    this.sprite = null;
    const answer = await fetch(address);
    const sprite = await createImageBitmap(await answer.blob());
    if (this.address !== address) return;
    this.sprite = sprite;
    this.draw();
  }

  // --- where points are ---

  // The points of each cell of a grid, so that looking for the nearest one does not look at all of them.
  index() {
    const count = this.x.length;
    const bounds = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    [this.left, this.right] = count ? bounds(this.x) : [0, 1];
    [this.bottom, this.top] = count ? bounds(this.y) : [0, 1];
    const cells = new Int32Array(count);
    this.starts = new Int32Array(CELLS * CELLS + 1);
    for (let i = 0; i < count; i++) {
      cells[i] = this.cellOf(this.x[i], this.left, this.right) * CELLS + this.cellOf(this.y[i], this.bottom, this.top);
      this.starts[cells[i] + 1]++;
    }
    for (let cell = 0; cell < CELLS * CELLS; cell++) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.order = new Int32Array(count);
    for (let i = 0; i < count; i++) this.order[next[cells[i]]++] = i;
  }

  cellOf(value, low, high) {
    return Math.max(0, Math.min(CELLS - 1, Math.floor(((value - low) / (high - low || 1)) * CELLS)));
  }

  // Numbers of the points in a rectangle of pixels, and perhaps of some around it.
  *within(left, top, right, bottom) {
    const [x0, y1] = this.toData(left, top);
    const [x1, y0] = this.toData(right, bottom);
    const [low, high] = [this.cellOf(y0, this.bottom, this.top), this.cellOf(y1, this.bottom, this.top)];
    const last = this.cellOf(x1, this.left, this.right);
    for (let column = this.cellOf(x0, this.left, this.right); column <= last; column++) {
      const [from, to] = [this.starts[column * CELLS + low], this.starts[column * CELLS + high + 1]];
      for (let k = from; k < to; k++) yield this.order[k];
    }
  }

  nearest(x, y) {
    let [best, reach] = [-1, REACH ** 2];
    for (const i of this.within(x - REACH, y - REACH, x + REACH, y + REACH)) {
      const [px, py] = this.toScreen(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < reach) [best, reach] = [i, distance];
    }
    return best;
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const spans = [this.right - this.left || 1, this.top - this.bottom || 1];
    this.fitted = 0.94 * Math.min(width / spans[0], height / spans[1]);
    this.scale = this.fitted;
    this.centre = [(this.left + this.right) / 2, (this.bottom + this.top) / 2];
  }

  place(x, y) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [width / 2 + (x - this.centre[0]) * this.scale, height / 2 - (y - this.centre[1]) * this.scale];
  }

  toScreen(i) {
    return this.place(this.x[i], this.y[i]);
  }

  toData(x, y) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [this.centre[0] + (x - width / 2) / this.scale, this.centre[1] - (y - height / 2) / this.scale];
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.toData(x, y);
    this.scale = Math.max(this.fitted / 2, Math.min(this.fitted * 400, this.scale * factor));
    const after = this.toData(x, y);
    this.centre = this.centre.map((value, axis) => value + before[axis] - after[axis]);
    this.draw();
  }

  pan(dx, dy) {
    this.centre = [this.centre[0] - dx / this.scale, this.centre[1] + dy / this.scale];
    this.draw();
  }

  // --- what people do ---

  use(tool) {
    if (tool === "in" || tool === "out") return this.zoom(tool === "in" ? 1.5 : 1 / 1.5);
    if (tool === "all") return this.fit(), this.draw();
    this.root.classList.toggle("lassoing");
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, this.at(event));
    this.hover(-1);
    this.path = [this.at(event)];
    this.dragged = this.fingers.size > 1;
    this.lasso = this.fingers.size === 1 && (event.shiftKey || this.root.classList.contains("lassoing"));
  }

  move(event) {
    const [x, y] = this.at(event);
    const before = this.fingers.get(event.pointerId);
    if (!before) return this.hover(this.nearest(x, y), x, y);
    const others = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    this.fingers.set(event.pointerId, [x, y]);
    this.dragged ||= Math.hypot(x - this.path[0][0], y - this.path[0][1]) > CLICK;
    if (others.length) {
      const distance = ([px, py]) => Math.hypot(px - others[0][0], py - others[0][1]);
      this.zoom(distance([x, y]) / (distance(before) || 1), (x + others[0][0]) / 2, (y + others[0][1]) / 2);
    } else if (this.lasso) {
      this.path.push([x, y]);
      this.draw();
    } else if (this.dragged) this.pan(x - before[0], y - before[1]);
  }

  lift(event) {
    if (!this.fingers.delete(event.pointerId) || this.fingers.size) return;
    const adds = event.ctrlKey || event.metaKey;
    const [x, y] = this.at(event);
    if (!this.dragged) {
      const found = this.nearest(x, y);
      this.choose(found < 0 ? [] : [found], adds);
      if (event.pointerType === "touch") this.hover(found, x, y);
    } else if (this.lasso) this.choose(this.inside(this.path), adds);
    this.lasso = false;
    this.draw();
  }

  cancel(event) {
    this.fingers.delete(event.pointerId);
    this.lasso = false;
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...this.at(event));
  }

  key(event) {
    const keys = {
      "+": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.use("all"), Escape: () => this.choose([]),
      ArrowLeft: () => this.pan(60, 0), ArrowRight: () => this.pan(-60, 0),
      ArrowUp: () => this.pan(0, 60), ArrowDown: () => this.pan(0, -60),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  inside(path) {
    const [xs, ys] = [path.map(([x]) => x), path.map(([, y]) => y)];
    const found = [];
    for (const i of this.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys))) {
      const [x, y] = this.toScreen(i);
      let odd = false; // crossings of the path to the right of the point
      for (let k = 0, last = path.length - 1; k < path.length; last = k++) {
        if (ys[k] > y !== ys[last] > y && x < xs[k] + ((y - ys[k]) / (ys[last] - ys[k])) * (xs[last] - xs[k])) odd = !odd;
      }
      if (odd) found.push(i);
    }
    return found;
  }

  choose(points, adds = false) {
    const rows = new Set(adds ? this.data.selected : []);
    for (const i of points) rows.add(this.row[i]);
    if (!rows.size && !this.data.selected.length) return;
    this.data.selected = [...rows];
    this.selected = this.row.map((row) => rows.has(row));
    this.draw();
    this.pick(this.data.selected);
  }

  hover(i, x, y) {
    this.tip.hidden = i < 0;
    this.canvas.style.cursor = i < 0 ? "" : "pointer";
    if (i < 0) return;
    const [canvas, text] = this.tip.children;
    canvas.width = canvas.height = this.data.side * ENLARGED;
    const ink = canvas.getContext("2d");
    ink.imageSmoothingEnabled = false;
    if (this.sprite) this.drawImage(ink, i, 0, 0, canvas.width);
    const value = (name) => this.data.points.getChild(name).get(i);
    const lines = Object.entries(this.data.tip).map(([name, title]) => `${title} ${value(name)}`);
    text.textContent = [`row ${this.row[i]}`, ...lines].join("\n");
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.tip.style.left = `${x + 16 + this.tip.offsetWidth > width ? x - 16 - this.tip.offsetWidth : x + 16}px`;
    this.tip.style.top = `${Math.max(0, Math.min(y - 40, height - this.tip.offsetHeight))}px`;
  }

  // --- what is drawn ---

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  paint() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.data || !width) return;
    if (!this.fitted) this.fit();
    const ratio = window.devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * ratio, height * ratio];
    const ink = this.canvas.getContext("2d");
    const style = getComputedStyle(this.root);
    this.text = style.getPropertyValue("--st-text-color") || "black";
    this.paper = style.getPropertyValue("--st-background-color") || "white";
    const seen = this.sprite ? this.inSight() : null;
    if (!seen) this.dots(ink, ratio);
    ink.scale(ratio, ratio);
    if (seen) this.images(ink, seen);
    else this.labels(ink);
    if (this.data.star) this.mark(ink, "★", ...this.place(...this.data.star), 30, "#D55E00");
    if (this.lasso && this.path.length > 1) this.outline(ink);
    this.root.dataset.painted = seen ? "images" : "dots"; // for tests, and whoever wonders
  }

  // The points in sight where their images can be drawn, else null.
  inSight() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const seen = [];
    for (const i of this.within(0, 0, width, height)) {
      const [x, y] = this.toScreen(i);
      if (x > 0 && y > 0 && x < width && y < height && seen.push(i) > MOST_IMAGES) return null;
    }
    return seen;
  }

  // Discs, written into the pixels: ten times as fast as paths.
  dots(ink, ratio) {
    const { width, height } = this.canvas;
    const picture = new ImageData(width, height);
    const pixels = new Uint32Array(picture.data.buffer);
    const [paper, ...palette] = [this.paper, ...this.data.colours].map((colour) => bytes(colour, ink));
    const pale = palette.map((colour) => colour.map((part, k) => Math.round(0.2 * part + 0.8 * paper[k])));
    const any = this.data.selected.length > 0;
    const crowd = Math.max(1.2, Math.min(3, (0.28 * Math.sqrt((width * height) / this.x.length)) / ratio));
    const size = Math.min(5, crowd * Math.sqrt(Math.max(1, this.scale / this.fitted)));
    for (const marked of any ? [false, true] : [false]) {
      const shades = (any && !marked ? pale : palette).map(([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
      const radius = (size + (marked ? 1 : 0)) * ratio;
      const reach = Math.floor(radius);
      const half = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.floor(Math.sqrt(radius ** 2 - (k - reach) ** 2)));
      const [left, top] = this.place(0, 0);
      for (let i = 0; i < this.x.length; i++) {
        if (any && Boolean(this.selected[i]) !== marked) continue;
        const x = Math.round((left + this.x[i] * this.scale) * ratio);
        const y = Math.round((top - this.y[i] * this.scale) * ratio);
        if (x < 0 || y < 0 || x >= width || y >= height) continue;
        const shade = shades[this.colour[i]];
        for (let k = Math.max(0, reach - y); k < half.length && y + k - reach < height; k++) {
          const line = (y + k - reach) * width;
          const end = line + Math.min(width, x + half[k] + 1);
          for (let pixel = line + Math.max(0, x - half[k]); pixel < end; pixel++) pixels[pixel] = shade;
        }
      }
    }
    ink.putImageData(picture, 0, 0);
  }

  images(ink, seen) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const side = Math.max(16, Math.min(2 * this.data.side, 0.6 * Math.sqrt((width * height) / Math.max(1, seen.length))));
    ink.imageSmoothingEnabled = false;
    ink.lineWidth = 2;
    const any = this.data.selected.length > 0;
    for (const i of seen.sort((a, b) => this.selected[a] - this.selected[b])) {
      const [x, y] = this.toScreen(i).map((value) => value - side / 2);
      ink.globalAlpha = any && !this.selected[i] ? 0.35 : 1;
      ink.strokeStyle = this.data.colours[this.colour[i]];
      this.drawImage(ink, i, x, y, side);
      ink.strokeRect(x, y, side, side);
    }
    ink.globalAlpha = 1;
  }

  drawImage(ink, i, x, y, size) {
    const { side, across } = this.data;
    const [left, top] = [(this.image[i] % across) * side, Math.floor(this.image[i] / across) * side];
    ink.drawImage(this.sprite, left, top, side, side, x, y, size, size);
  }

  labels(ink) {
    for (const [name, x, y] of this.data.labels) this.mark(ink, name, ...this.place(x, y), 16, this.text);
  }

  mark(ink, text, x, y, size, colour) {
    ink.font = `bold ${size}px sans-serif`;
    ink.textAlign = "center";
    ink.textBaseline = "middle";
    ink.lineJoin = "round";
    ink.lineWidth = 5;
    ink.strokeStyle = this.paper;
    ink.fillStyle = colour;
    ink.strokeText(text, x, y);
    ink.fillText(text, x, y);
  }

  outline(ink) {
    ink.beginPath();
    for (const [x, y] of this.path) ink.lineTo(x, y);
    ink.closePath();
    ink.lineWidth = 1.5;
    ink.strokeStyle = this.text;
    ink.setLineDash([5, 4]);
    ink.stroke();
    ink.setLineDash([]);
  }

  // A button for every name; it selects the points of its colour.
  names() {
    const chips = this.data.names.map((name, colour) => {
      const chip = document.createElement("button");
      const dot = document.createElement("i");
      dot.style.background = this.data.colours[colour];
      chip.append(dot, name);
      chip.title = `Select all of ${name}`;
      chip.onclick = (event) => this.choose(this.order.filter((i) => this.colour[i] === colour), event.ctrlKey || event.metaKey);
      return chip;
    });
    this.legend.replaceChildren(...chips);
  }
}

// Any colour of CSS as three numbers.
function bytes(colour, ink) {
  ink.fillStyle = colour;
  return [1, 3, 5].map((start) => parseInt(ink.fillStyle.slice(start, start + 2), 16));
}
