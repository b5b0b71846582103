// element makes an element of a class, with a text.
export function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

// clock is a time of day, to the second.
export function clock(millis) {
  return new Date(millis).toLocaleTimeString([], { hour12: false });
}

// took is a duration in milliseconds, to three digits.
export function took(millis) {
  return `${Number(millis.toPrecision(3))} ms`;
}
