// What the network answers about one image: decision, probabilities, map, words, neighbours.

import { badge, build, number, picture } from "./dom.js";
import { Viewer } from "./viewer.js";

const GATE_COLOURS = { passed: "green", refused: "red", mended: "amber", borderline: "amber" };
const UNTRUSTED = "not trustworthy for this model";

export function describeDecision(answer) {
  if (answer.refused) return "Refused";
  return answer.decision === "abstain" ? "Abstains" : `Decision: ${answer.decision}`;
}

/** The part that is there at once: what /predict says. */
export function buildAnswer(item, model) {
  const { answer } = item;
  const abstains = answer.decision === "abstain";
  const colour = answer.refused ? "red" : abstains ? "amber" : "";
  return build(
    "section",
    { class: "answer", "aria-labelledby": "answer-title" },
    build("h2", { id: "answer-title", class: "kicker name" }, item.name),
    build("p", { class: `verdict ${colour}`, id: "decision", tabindex: "-1" }, describeDecision(answer)),
    answer.refused
      ? build("p", {}, answer.refused)
      : build("p", {}, explainSet(answer, model)),
    build(
      "p",
      { class: "small gate" },
      "Check for an upright frontal chest X-ray: ",
      badge(answer.gate, GATE_COLOURS[answer.gate] ?? "amber"),
    ),
    answer.note ? build("p", { class: "notice amber" }, answer.note) : null,
    answer.refused ? null : buildTable(answer, model),
  );
}

function explainSet(answer, model) {
  if (!model.is_evaluated) {
    return "The class with the highest probability. This network was not evaluated: its probabilities are not calibrated, and it never abstains.";
  }
  const possible = answer.prediction_set;
  const share = Math.round(100 * (model.nominal_coverage ?? 0));
  const meaning = `Each class has a threshold of its own, chosen so that the classes that remain possible hold the true one for ${share}% of the images of each class.`;
  if (possible.length === 0) return `No class reaches its threshold: the image is unusual for this network. ${meaning}`;
  if (possible.length > 1) return `Classes that remain possible: ${possible.join(", ")}. No class is decided on. ${meaning}`;
  if (answer.decision === "abstain") return `Only ${possible[0]} remains possible, but the check of the image leaves doubts.`;
  return `Only ${possible[0]} remains possible. ${meaning}`;
}

function buildTable(answer, model) {
  const rows = Object.entries(answer.probabilities).map(([name, share]) => {
    const possible = answer.prediction_set.includes(name);
    const threshold = model.thresholds[name];
    const bar = buildBar(share, threshold);
    return build(
      "tr",
      {},
      build(
        "th",
        { scope: "row" },
        name,
        " ",
        possible ? badge("remains possible", "amber") : null,
        " ",
        name === answer.predicted_class ? badge("predicted") : null,
      ),
      build("td", { class: "bar-cell" }, bar),
      build("td", {}, number(share)),
      build("td", {}, threshold === undefined ? "–" : number(threshold)),
    );
  });
  const heads = ["Class", "", "Probability", "Possible from"].map((text) =>
    text ? build("th", { scope: "col" }, text) : build("td", { class: "bar-cell" }),
  );
  return build(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Probabilities" },
    build("table", { class: "shares" }, build("thead", {}, build("tr", {}, ...heads)), build("tbody", {}, ...rows)),
  );
}

/** A bar, with a mark where the class begins to remain possible; the numbers stand beside it. */
function buildBar(share, threshold) {
  const filled = build("i");
  filled.style.width = `${100 * share}%`;
  const bar = build("span", { class: "share", "aria-hidden": "true" }, filled);
  if (threshold > 0) {
    const mark = build("b");
    mark.style.left = `${100 * threshold}%`;
    bar.append(mark);
  }
  return bar;
}

/** The part with the map. `choose` is called with a method and a class. */
export class Explanation {
  constructor(model, choose) {
    this.model = model;
    this.canvas = build("canvas", {
      tabindex: "0",
      role: "img",
      "aria-label": "The image",
      "aria-describedby": "keys",
    });
    this.band = build("p", { class: "band", hidden: true }, UNTRUSTED);
    this.words = build("p", { class: "weak", hidden: true });
    this.caption = build("figcaption", {});
    this.rest = build("div", {});
    this.viewer = new Viewer(this.canvas);
    this.methods = this.buildMethods(choose);
    this.classes = this.buildClasses(choose);
    this.stretch = this.buildSwitch("Stretch the colours (not comparable with other maps)", false, "stretched");
    this.element = build(
      "section",
      { class: "explanation", "aria-labelledby": "map-title" },
      build("h2", { id: "map-title" }, "What the probability depends on"),
      build("div", { class: "viewer" }, this.buildFigure(), this.buildControls()),
      this.rest,
    );
  }

  buildFigure() {
    return build(
      "figure",
      { class: "map" },
      build("div", { class: "stage" }, this.canvas, this.band, this.words),
      build(
        "div",
        { class: "legend-scale" },
        build("span", { id: "scale-low" }, "against"),
        build("span", { class: "colours", "aria-hidden": "true" }),
        build("span", { id: "scale-high" }, "for"),
      ),
      this.caption,
      build(
        "p",
        { class: "small", id: "keys" },
        "Drag to pan, pinch or double-click to zoom. With the keyboard: + and −, arrow keys, 0 for the whole image. White line: the lungs. Left and right are those of the patient, who faces you.",
      ),
    );
  }

  buildMethods(choose) {
    const buttons = this.model.methods.map((one) =>
      build(
        "label",
        { class: "choice" },
        build("input", { type: "radio", name: "method", value: one.name, onchange: () => choose({ method: one.name }) }),
        build("span", {}, one.title, " ", verdictBadge(one)),
      ),
    );
    return build("fieldset", {}, build("legend", {}, "Method"), ...buttons);
  }

  buildClasses(choose) {
    const options = ["", ...this.model.class_names].map((name) =>
      build("option", { value: name }, name || "the predicted one"),
    );
    return build("select", { id: "class", onchange: (event) => choose({ className: event.target.value }) }, ...options);
  }

  buildControls() {
    return build(
      "div",
      { class: "controls" },
      this.methods,
      build("p", {}, build("label", { for: "class" }, "Explained class "), this.classes),
      this.buildSlider("Opacity of the map", "opacity", { min: 0, max: 1, step: 0.05, value: 1 }),
      this.buildSwitch("Contour of the lungs", true, "contour"),
      this.stretch,
      this.buildSlider("Window (contrast)", "window", { min: 16, max: 512, step: 4, value: 256 }),
      this.buildSlider("Level (brightness)", "level", { min: 0, max: 255, step: 1, value: 128 }),
      build(
        "p",
        { class: "buttons", role: "group", "aria-label": "Zoom" },
        build("button", { type: "button", "aria-label": "Zoom in", onclick: () => this.viewer.zoomBy(1.4) }, "+"),
        build("button", { type: "button", "aria-label": "Zoom out", onclick: () => this.viewer.zoomBy(1 / 1.4) }, "−"),
        build("button", { type: "button", onclick: () => this.resetView() }, "Reset the view"),
      ),
    );
  }

  buildSlider(text, name, range) {
    const id = `slider-${name}`;
    const input = build("input", {
      id,
      type: "range",
      ...range,
      "data-start": range.value,
      oninput: (event) => this.viewer.set({ [name]: Number(event.target.value) }),
    });
    return build("p", { class: "slider" }, build("label", { for: id }, text), input);
  }

  buildSwitch(text, checked, name) {
    const input = build("input", {
      type: "checkbox",
      checked,
      onchange: (event) => {
        this.viewer.set({ [name]: event.target.checked });
        this.update();
      },
    });
    return build("label", { class: "choice", "data-switch": name }, input, build("span", {}, text));
  }

  resetView() {
    for (const input of this.element.querySelectorAll("input[type=range]")) {
      input.value = input.dataset.start;
      input.dispatchEvent(new Event("input"));
    }
    this.viewer.reset();
    this.viewer.panBy(0, 0);
  }

  setChoice({ method, className }) {
    for (const input of this.methods.querySelectorAll("input")) input.checked = input.value === method;
    this.classes.value = className;
  }

  setBusy(busy) {
    this.element.setAttribute("aria-busy", String(busy));
    this.element.classList.toggle("busy", busy);
  }

  async show(item, answer) {
    this.answer = answer;
    this.stretch.querySelector("input").checked = false;
    this.viewer.set({ stretched: false });
    await this.viewer.show(answer);
    this.update();
    this.rest.replaceChildren(...buildRest(item, answer));
  }

  /** What stands on and below the image. */
  update() {
    if (!this.answer) return;
    const [map] = this.answer.maps;
    const stretched = this.viewer.settings.stretched;
    const limit = stretched ? map.stretched_limit : map.scale_limit;
    this.band.hidden = !map.failed_sanity;
    this.stretch.hidden = !map.weakness;
    this.words.hidden = !map.weakness || stretched;
    this.words.textContent = map.weakness;
    const share = map.lung_share === null ? "" : ` ${percent(map.lung_share)} of the map lies in the lungs, which cover ${percent(this.answer.lung_area_share)} of the image.`;
    const scale = stretched ? ` Stretched to ±${limit}: not comparable with other maps.` : "";
    const { side_px: side } = this.answer;
    this.caption.textContent = `${map.title}: ${map.caption}.${scale}${share} The network gets ${side} × ${side} pixels of the image.`;
    this.element.querySelector("#scale-low").textContent = `−${limit} against`;
    this.element.querySelector("#scale-high").textContent = `for +${limit}, ${map.drawn_unit}`;
    this.canvas.setAttribute("aria-label", `The image with the map. ${this.caption.textContent} ${this.answer.card.text_summary.sentences[0] ?? ""}`);
  }
}

const percent = (share) => `${Math.round(100 * share)}%`;

export function verdictBadge(method) {
  if (method.passed === null) return badge("not tested", "amber");
  return method.passed ? badge("✓ passed its sanity checks", "green") : badge(`✗ ${UNTRUSTED}`, "red");
}

function* buildRest(item, answer) {
  const { card } = answer;
  yield build(
    "section",
    { "aria-labelledby": "words-title" },
    build("h2", { id: "words-title" }, "In words"),
    ...card.text_summary.sentences.map((text) => build("p", {}, text)),
    build("p", { class: "small" }, "The sentences describe the network: what argues for its prediction need not be a sign of a disease."),
    card.weighing ? build("p", { class: "small" }, card.weighing) : null,
  );
  const [sanity] = card.sanity;
  yield build(
    "section",
    { "aria-labelledby": "sanity-title" },
    build("h2", { id: "sanity-title" }, "Can this map be trusted?"),
    build("p", {}, `${sanity.title} `, verdictBadge(sanity)),
    ...sanity.reasons.map((text) => build("p", {}, text)),
    build("p", { class: "small" }, "Each method was tested on this network, not on this image."),
  );
  yield buildNeighbours(answer);
  yield build(
    "section",
    { "aria-labelledby": "keep-title" },
    build("h2", { id: "keep-title" }, "Keep the card"),
    build(
      "p",
      { class: "buttons" },
      build("button", { type: "button", id: "save-html", onclick: () => save(item, "html", "text/html", new TextEncoder().encode(answer.card_html)) }, "Save as HTML"),
      build("button", { type: "button", id: "save-png", onclick: () => save(item, "png", "image/png", decode(answer.card_png)) }, "Save as PNG"),
    ),
    build("p", { class: "small" }, "The card shows the image. Look for names that are burned into it before you pass it on."),
  );
}

function buildNeighbours(answer) {
  const { neighbours } = answer.card;
  const title = build("h2", { id: "neighbours-title" }, "Most similar training images");
  if (!neighbours) {
    return build("section", { "aria-labelledby": "neighbours-title" }, title, build("p", { class: "missing" }, "None are named: the training images are not stored with this network."));
  }
  const figures = neighbours.neighbours.map((one, at) =>
    build(
      "figure",
      {},
      picture(answer.neighbour_pngs[at], `Training image, labelled ${one.class_name}`),
      build("figcaption", {}, build("strong", {}, one.class_name), build("span", { class: "small" }, ` ${one.source || "unknown source"}, similarity ${number(one.similarity)}`)),
    ),
  );
  const close = neighbours.neighbours.length > 0 && neighbours.neighbours[0].similarity >= neighbours.similarity_threshold;
  const words = close
    ? `By cosine similarity of the features, among ${neighbours.compared} training images.`
    : `No close match among ${neighbours.compared} training images: 19 of 20 of them have a neighbour above ${number(neighbours.similarity_threshold, 2)}.`;
  return build("section", { "aria-labelledby": "neighbours-title" }, title, build("p", {}, words), build("div", { class: "near" }, ...figures));
}

function decode(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** Save under the image's own name, which only this browser knows. */
function save(item, suffix, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const stem = item.name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 80) || "image";
  build("a", { href: url, download: `${stem}-card.${suffix}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
