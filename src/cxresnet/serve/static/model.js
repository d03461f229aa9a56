// The scorecard of the model: what was tested, what came out, and its model card.

import { badge, build, number } from "./dom.js";
import { verdictBadge } from "./result.js";

const COLOURS = { green: "green", amber: "amber", red: "red" };

export function buildModel(model) {
  return [
    build("p", { class: "small" }, model.disclaimer),
    model.verdict ? build("p", { class: "verdict" }, model.verdict) : null,
    ...buildScorecard(model.scorecard),
    build("h3", {}, "Sanity checks of its maps"),
    model.sanity ? build("p", {}, model.sanity) : null,
    build(
      "ul",
      { class: "notices" },
      ...model.methods.map((one) =>
        build("li", { class: "notice" }, build("strong", {}, `${one.title} `, verdictBadge(one)), ...one.reasons.map((text) => build("span", {}, `${text} `))),
      ),
    ),
    build("h3", {}, "Facts"),
    buildFacts(model),
    model.model_card ? build("details", {}, build("summary", {}, "Model card"), build("div", { class: "inside card-text" }, ...renderMarkdown(model.model_card))) : null,
  ].filter(Boolean);
}

function buildScorecard(scorecard) {
  if (!scorecard) return [build("p", { class: "missing" }, "The audit of this network is not stored with it; its model card says what was tested.")];
  const rows = scorecard.findings.map((one) =>
    build("tr", {}, build("th", { scope: "row" }, one.title), build("td", {}, badge(one.verdict, COLOURS[one.verdict] ?? "")), build("td", { class: "left" }, one.sentence)),
  );
  return [
    build("h3", {}, "Audit"),
    build("p", { class: `verdict ${COLOURS[scorecard.verdict] ?? ""}` }, `${scorecard.verdict.toUpperCase()}: ${scorecard.headline}`),
    build("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Audit" }, build("table", {}, build("tbody", {}, ...rows))),
  ];
}

function buildFacts(model) {
  const facts = [
    ["Network", model.network],
    ["Preset", model.preset],
    ["Image for the network", `${model.side_px} × ${model.side_px} pixels`],
    ["Classes", model.class_names.join(", ")],
    ["Evaluated", model.is_evaluated ? "yes" : "no: its probabilities are not calibrated"],
    ["Nominal coverage", model.nominal_coverage === null ? "–" : number(model.nominal_coverage, 2)],
    ["Check of each image", model.checks_images ? "on" : "off"],
    ["Names images like those that it was trained on", model.knows_training_images ? "yes" : "no"],
  ];
  return build("dl", { class: "facts" }, ...facts.map(([name, value]) => build("div", {}, build("dt", {}, name), build("dd", {}, value))));
}

/** Headings, lists, tables, bold and code: what a model card uses. Everything else stays text. */
export function* renderMarkdown(text) {
  for (const block of text.split(/\n{2,}/)) {
    const lines = block.split("\n").filter((line) => line.trim());
    if (!lines.length) continue;
    const heading = /^(#{1,4}) (.*)$/.exec(lines[0]);
    if (heading) {
      yield build(`h${Math.min(heading[1].length + 2, 6)}`, {}, ...renderLine(heading[2]));
      if (lines.length > 1) yield* renderMarkdown(lines.slice(1).join("\n"));
    } else if (lines.every((line) => line.startsWith("|"))) {
      yield renderTable(lines);
    } else if (lines[0].startsWith("- ")) {
      yield build("ul", {}, ...lines.map((line) => build("li", {}, ...renderLine(line.replace(/^- /, "")))));
    } else {
      yield build("p", {}, ...renderLine(lines.join(" ")));
    }
  }
}

function renderTable(lines) {
  const rows = lines.filter((line) => !/^\|[\s|:-]+\|$/.test(line)).map((line) => line.slice(1, -1).split("|"));
  const cells = (row, tag) => build("tr", {}, ...row.map((cell) => build(tag, {}, ...renderLine(cell.trim()))));
  const [head, ...rest] = rows;
  return build("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, build("table", {}, build("thead", {}, cells(head, "th")), build("tbody", {}, ...rest.map((row) => cells(row, "td")))));
}

function renderLine(text) {
  return text
    .split(/(\*\*[^*]+\*\*|`[^`]+`|\*[^*]+\*)/)
    .filter(Boolean)
    .map((part) => {
      if (part.startsWith("**")) return build("strong", {}, part.slice(2, -2));
      if (part.startsWith("`")) return build("code", {}, part.slice(1, -1));
      return part.length > 2 && part.startsWith("*") ? build("em", {}, part.slice(1, -1)) : part;
    });
}
