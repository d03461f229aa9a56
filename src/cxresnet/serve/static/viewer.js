// Draws an image with its map on a canvas: opacity, contour of the lungs, window and level, zoom.

const FOR = [255, 106, 0];
const AGAINST = [38, 128, 255];
const MOST_OPAQUE = 0.8;
const MOST_ZOOM = 8;
const STEP = 0.12;

/** From base64 to float32, little-endian. */
export function readFloats(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, at) => view.getFloat32(4 * at, true));
}

async function readPixels(base64) {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  await image.decode();
  const context = makeCanvas(image.width, image.height);
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}

function makeCanvas(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas.getContext("2d", { willReadFrequently: true });
}

export class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.settings = { opacity: 1, contour: true, stretched: false, level: 128, window: 256 };
    this.reset();
    this.listen();
  }

  /** Show an answer of /explain. */
  async show(answer) {
    this.grey = await readPixels(answer.view_png);
    const mask = await readPixels(answer.lung_mask_png);
    this.aspect = Math.min(Math.max(answer.view_aspect, 0.4), 2.5);
    this.side = answer.side_px;
    this.map = answer.maps[0];
    this.values = readFloats(this.map.drawn ?? this.map.values);
    this.outline = this.drawOutline(mask);
    this.applyWindow();
    this.applyMap();
    this.resize();
  }

  set(changes) {
    Object.assign(this.settings, changes);
    if (!this.grey) return;
    if ("level" in changes || "window" in changes) this.applyWindow();
    if ("stretched" in changes) this.applyMap();
    this.draw();
  }

  reset() {
    [this.zoom, this.left, this.top] = [1, 0, 0];
  }

  applyWindow() {
    const { level, window: width } = this.settings;
    const shown = makeCanvas(this.grey.width, this.grey.height);
    const out = shown.createImageData(this.grey.width, this.grey.height);
    const curve = Uint8ClampedArray.from({ length: 256 }, (_, at) => 255 * ((at - level) / width + 0.5));
    for (let at = 0; at < out.data.length; at += 4) {
      const value = curve[this.grey.data[at]];
      out.data[at] = out.data[at + 1] = out.data[at + 2] = value;
      out.data[at + 3] = 255;
    }
    shown.putImageData(out, 0, 0);
    this.image = shown.canvas;
  }

  /** Orange argues for the class, blue against it; the opacity grows with the strength. */
  applyMap() {
    const context = makeCanvas(this.side, this.side);
    const out = context.createImageData(this.side, this.side);
    const limit = this.settings.stretched ? this.map.stretched_limit : this.map.scale_limit;
    const isHidden = this.map.weakness && !this.settings.stretched;
    this.values.forEach((value, at) => {
      const share = Math.min(Math.abs(value) / limit, 1);
      out.data.set(value > 0 ? FOR : AGAINST, 4 * at);
      out.data[4 * at + 3] = isHidden ? 0 : 255 * MOST_OPAQUE * share;
    });
    context.putImageData(out, 0, 0);
    this.overlay = context.canvas;
  }

  /** The edge of the mask, at the resolution of the view. */
  drawOutline(mask) {
    const [width, height] = [this.grey.width, this.grey.height];
    const small = makeCanvas(mask.width, mask.height);
    small.putImageData(mask, 0, 0);
    const large = makeCanvas(width, height);
    large.drawImage(small.canvas, 0, 0, width, height);
    const { data } = large.getImageData(0, 0, width, height);
    const inside = (x, y) => data[4 * (y * width + x)] > 127;
    const out = large.createImageData(width, height);
    for (let y = 1; y < height - 1; y += 1) {
      for (let x = 1; x < width - 1; x += 1) {
        if (!inside(x, y)) continue;
        if (inside(x - 1, y) && inside(x + 1, y) && inside(x, y - 1) && inside(x, y + 1)) continue;
        out.data.set([255, 255, 255, 255], 4 * (y * width + x));
      }
    }
    large.clearRect(0, 0, width, height);
    large.putImageData(out, 0, 0);
    return large.canvas;
  }

  resize() {
    if (!this.grey) return;
    this.canvas.style.aspectRatio = String(this.aspect);
    const { width } = this.canvas.getBoundingClientRect();
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.round(this.canvas.width / this.aspect);
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    this.canvas.classList.toggle("zoomed", this.zoom > 1); // a finger then pans the image
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.setTransform(this.zoom, 0, 0, this.zoom, this.left * width, this.top * height);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.image, 0, 0, width, height);
    context.globalAlpha = this.settings.opacity;
    context.drawImage(this.overlay, 0, 0, width, height);
    context.globalAlpha = 1;
    if (this.settings.contour) context.drawImage(this.outline, 0, 0, width, height);
  }

  /** Zoom by a factor about a place, both 0 to 1 of the canvas. */
  zoomBy(factor, x = 0.5, y = 0.5) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    this.left = x - ((x - this.left) * zoom) / this.zoom;
    this.top = y - ((y - this.top) * zoom) / this.zoom;
    this.zoom = zoom;
    this.panBy(0, 0);
  }

  panBy(x, y) {
    const least = 1 - this.zoom;
    this.left = Math.min(Math.max(this.left + x, least), 0);
    this.top = Math.min(Math.max(this.top + y, least), 0);
    if (this.grey) this.draw();
  }

  listen() {
    const { canvas } = this;
    const fingers = new Map();
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, place(event));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    }
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      const others = [...fingers].filter(([id]) => id !== event.pointerId);
      if (others.length === 1) {
        const [, [x, y]] = others[0];
        const distance = ([a, b]) => Math.hypot(a - x, b - y) || 0.01;
        this.zoomBy(distance(now) / distance(before), (x + now[0]) / 2, (y + now[1]) / 2);
      } else {
        this.panBy(now[0] - before[0], now[1] - before[1]);
      }
      fingers.set(event.pointerId, now);
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY / 300), ...place(event));
      },
      { passive: false },
    );
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2, ...place(event)));
    canvas.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  press(event) {
    const actions = {
      "+": () => this.zoomBy(1.4),
      "=": () => this.zoomBy(1.4),
      "-": () => this.zoomBy(1 / 1.4),
      0: () => {
        this.reset();
        this.panBy(0, 0);
      },
      ArrowLeft: () => this.panBy(STEP, 0),
      ArrowRight: () => this.panBy(-STEP, 0),
      ArrowUp: () => this.panBy(0, STEP),
      ArrowDown: () => this.panBy(0, -STEP),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }
}
