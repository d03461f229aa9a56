// The page: takes images, lists them, shows the answer to the one that is chosen.

import * as client from "./client.js";
import { badge, build, find } from "./dom.js";
import { buildModel } from "./model.js";
import { Explanation, buildAnswer, describeDecision } from "./result.js";

const state = { model: null, items: [], chosen: null, method: "", className: "", explanation: null };

function say(text) {
  find("status").textContent = text;
}

async function start() {
  try {
    state.model = await client.readModel();
  } catch (error) {
    if (error.status === 401) return askForToken(error);
    say(error.message);
    return undefined;
  }
  find("token-form").hidden = true;
  const { model } = state;
  find("version").textContent = `CXResnet ${model.version}`;
  find("disclaimer").textContent = model.disclaimer;
  find("verdict-text").textContent = model.verdict || "The data of this network were not audited.";
  const [colour] = /\b(red|amber|green)\b/i.exec(model.verdict) ?? ["amber"];
  find("verdict").classList.add(colour.toLowerCase());
  find("verdict").hidden = false;
  state.method = (model.methods.find((one) => one.passed) ?? model.methods[0]).name;
  find("examples").append(
    ...model.examples.map((name) => build("button", { type: "button", onclick: () => addExample(name) }, name)),
  );
  find("examples").hidden = false;
  say("");
  return undefined;
}

function askForToken(error) {
  find("token-form").hidden = false;
  find("token").focus();
  say(error.message);
}

async function addExample(name) {
  try {
    await addFiles([await client.readExample(name)]);
  } catch (error) {
    say(error.message);
  }
}

async function addFiles(files) {
  if (!files.length || !state.model) return;
  const added = [...files].map((file) => ({ name: file.name, file, answer: null, error: "", maps: new Map() }));
  state.items.push(...added);
  find("work").hidden = false;
  drawList();
  if (!state.chosen || added.length === 1) choose(added[0]);
  say(`Classifying ${added.length === 1 ? "the image" : `${added.length} images`} …`);
  for (const group of groupByLimits(added)) await classify(group);
  const done = added.filter((item) => item.answer).length;
  say(`${done} of ${added.length} ${added.length === 1 ? "image" : "images"} classified.`);
}

/** As many images a request as the server takes, and a few, so that the first answers come soon. */
function* groupByLimits(items) {
  const { max_images: most, max_body_bytes: limit } = state.model.limits;
  let [group, bytes] = [[], 0];
  for (const item of items) {
    const size = item.file.size + 1024;
    if (size > limit) {
      item.error = `The file is larger than the ${Math.round(limit / 2 ** 20)} MiB that the server takes.`;
      update(item);
      continue;
    }
    if (group.length && (group.length >= Math.min(most, 8) || bytes + size > limit)) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push(item);
    bytes += size;
  }
  if (group.length) yield group;
}

async function classify(items) {
  try {
    const { images } = await client.predict(items.map((item) => item.file));
    items.forEach((item, at) => {
      item.answer = images[at];
    });
  } catch (error) {
    for (const item of items) item.error = error.message;
    if (error.status === 401) askForToken(error);
  }
  items.forEach(update);
}

function update(item) {
  drawList();
  if (state.chosen === item) show(item);
}

function drawList() {
  const focused = document.activeElement?.dataset?.at;
  find("list").replaceChildren(
    ...state.items.map((item, at) =>
      build(
        "li",
        {},
        build(
          "button",
          { type: "button", "data-at": at, "aria-current": item === state.chosen ? "true" : null, onclick: () => choose(item) },
          build("span", { class: "name" }, item.name),
          describeItem(item),
        ),
      ),
    ),
  );
  if (focused !== undefined) find("list").querySelector(`[data-at="${focused}"]`)?.focus();
}

function describeItem(item) {
  if (item.error) return badge("Failed", "red");
  if (!item.answer) return badge("…");
  const colour = item.answer.refused ? "red" : item.answer.decision === "abstain" ? "amber" : "";
  return badge(describeDecision(item.answer), colour);
}

function choose(item) {
  state.chosen = item;
  state.className = "";
  drawList();
  show(item);
}

function show(item) {
  const result = find("result");
  state.explanation = null;
  if (item.error) {
    result.replaceChildren(build("h2", { class: "kicker name" }, item.name), build("p", { class: "verdict red" }, item.error));
    return;
  }
  if (!item.answer) {
    result.replaceChildren(build("h2", { class: "kicker name" }, item.name), build("p", {}, "Waiting for the answer …"));
    return;
  }
  result.replaceChildren(buildAnswer(item, state.model));
  if (item.answer.refused) return;
  state.explanation = new Explanation(state.model, (changes) => {
    Object.assign(state, changes);
    explain(item);
  });
  result.append(state.explanation.element);
  explain(item);
}

async function explain(item) {
  const { explanation, method, className } = state;
  explanation.setChoice({ method, className });
  const key = JSON.stringify([method, className]);
  try {
    if (!item.maps.has(key)) {
      explanation.setBusy(true);
      say("Computing the map …");
      item.maps.set(key, await client.explain(item.file, method, className));
    }
    const isWanted = state.explanation === explanation && state.method === method && state.className === className;
    if (!isWanted) return;
    await explanation.show(item, item.maps.get(key));
    say("The map is shown.");
  } catch (error) {
    say(error.message);
  } finally {
    if (state.method === method && state.className === className) explanation.setBusy(false);
  }
}

function listen() {
  find("files").addEventListener("change", (event) => {
    addFiles([...event.target.files]);
    event.target.value = "";
  });
  const drop = find("drop");
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    addFiles([...event.dataTransfer.files]);
  });
  find("about").addEventListener("click", () => {
    find("model-body").replaceChildren(...buildModel(state.model));
    find("model").showModal();
  });
  find("close-model").addEventListener("click", () => find("model").close());
  find("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    client.setToken(find("token").value);
    find("token").value = "";
    start();
  });
}

listen();
start();
