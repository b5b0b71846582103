// The latest calls, each of which unfolds into its attempts.
import { clock, element, took } from "./element.js";

const mostShown = 60;

export class Calls {
  #place;
  #every; // the choice to show also what one attempt was enough for
  #known = []; // the latest, oldest first

  constructor(place, every) {
    this.#place = place;
    this.#every = every;
    every.addEventListener("change", () => this.#redraw());
    this.#redraw();
  }

  clear() {
    this.#known = [];
    this.#redraw();
  }

  add(calls, names) {
    for (const call of calls) {
      call.names = names;
      this.#known.push(call);
    }
    this.#known.splice(0, this.#known.length - 200);
    this.#draw(calls.filter((call) => this.#wanted(call)));
  }

  #wanted(call) {
    return this.#every.checked || call.attempts.length > 1 || call.error !== "";
  }

  #redraw() {
    this.#place.replaceChildren(element("p", "soft", "No call has needed a second attempt yet."));
    this.#draw(this.#known.filter((call) => this.#wanted(call)));
  }

  // draw puts the newest on top and touches no other: one may be open, or be read.
  #draw(calls) {
    if (calls.length === 0) return;
    this.#place.querySelector(":scope > p")?.remove();
    for (const call of calls) this.#place.prepend(story(call));
    while (this.#place.children.length > mostShown) this.#place.lastElementChild.remove();
  }
}

function story(call) {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("span", "soft", clock(call.ended_at)), element("span", "endpoint", call.endpoint), outcome(call),
    element("span", "soft", took(call.millis)));
  const list = element("ol");
  list.append(...call.attempts.map((one) => attempt(one, call.names)));
  details.append(summary, list);
  if (call.error) details.append(element("p", "failed", call.error));
  return details;
}

function outcome(call) {
  if (call.error) return element("span", "failed", "failed");
  if (call.saved) return element("span", "saved", `saved by a ${call.saved}`);
  const n = call.attempts.length;
  return element("span", "soft", n === 1 ? "1 attempt" : `${n} attempts`);
}

function attempt(one, names) {
  const item = element("li");
  item.value = one.number;
  const where = names.get(one.address) ?? (one.address || "no instance");
  item.append(`${one.hedge ? "hedge on " : ""}${where}: `, element("span", one.failed ? "failed" : "saved", one.class), ` after ${took(one.millis)}`);
  if (one.reason) item.append(element("span", "soft", one.reason));
  return item;
}
