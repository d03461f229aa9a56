// Speaks with the server. Nothing else on this page makes a request.

const MOST_TRIES = 6;
let token = readToken();

function readToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  if (found) history.replaceState(null, "", location.pathname); // not in the history
  return found;
}

export function setToken(value) {
  token = value.trim();
}

export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function send(path, options = {}) {
  for (let tries = 1; ; tries += 1) {
    const headers = { ...(options.headers ?? {}) };
    if (token) headers.Authorization = `Bearer ${token}`;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
    } catch {
      throw new Refusal(0, "lost", "The server does not answer. Is it still running?");
    }
    if (answer.ok) return answer;
    const error = await answer.json().catch(() => ({}));
    const wait = Number(answer.headers.get("Retry-After"));
    if (wait > 0 && error.code !== "too-slow" && tries < MOST_TRIES) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
      continue;
    }
    throw new Refusal(answer.status, error.code ?? "", error.message ?? `Error ${answer.status}.`);
  }
}

export async function readModel() {
  return (await send("/model")).json();
}

export async function readExample(name) {
  const content = await (await send(`/examples/${encodeURIComponent(name)}.png`)).blob();
  return new File([content], `drawn-${name}.png`, { type: "image/png" });
}

/** Classify files; the server never gets their names. */
export async function predict(files) {
  const form = new FormData();
  for (const file of files) form.append("images", file, "image");
  return (await send("/predict", { method: "POST", body: form })).json();
}

export async function explain(file, method, className) {
  const query = new URLSearchParams({ method, cards: "true" });
  if (className) query.set("class", className);
  const form = new FormData();
  form.append("images", file, "image");
  return (await send(`/explain?${query}`, { method: "POST", body: form })).json();
}
