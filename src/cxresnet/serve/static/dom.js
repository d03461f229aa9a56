// Builds elements. Text is always set as text: names of files and answers never become HTML.

/**
 * Build an element.
 * @param {string} tag
 * @param {Object} properties Attributes; `class`, `on…` handlers and `data-…` included.
 * @param {...(Node|string|null)} children Strings become text.
 */
export function build(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const find = (id) => document.getElementById(id);

export function badge(text, colour = "") {
  return build("span", { class: `badge ${colour}` }, text);
}

/** A picture from the server, as base64. */
export function picture(base64, alt) {
  return build("img", { src: `data:image/png;base64,${base64}`, alt });
}

export function number(value, digits = 3) {
  return value.toFixed(digits);
}
