// The instances, each with its circuit, its share of the attempts, and its buttons.
import { clock, element } from "./element.js";

export class Instances {
  #place;
  #rows = new Map(); // by address
  names = new Map(); // of the instances, by address

  constructor(place) {
    this.#place = place;
  }

  show(instances, actions) {
    for (const one of instances) {
      this.names.set(one.address, one.name);
      let row = this.#rows.get(one.address);
      if (!row) {
        row = new Row(one, actions);
        if (this.#rows.size === 0) this.#place.replaceChildren();
        this.#rows.set(one.address, row);
        this.#place.append(row.whole);
      }
      row.show(one);
    }
  }
}

// Row is what is shown of one instance.
class Row {
  whole = element("div", "instance");
  #state = element("div", "state");
  #progress = element("progress");
  #share = element("span");
  #buttons = new Map(); // by action

  constructor(one, actions) {
    const title = element("h3", "", one.name);
    if (one.name !== one.address) title.append(element("span", "address", " " + one.address));
    this.#progress.max = 1;
    this.#progress.setAttribute("aria-label", `share of ${one.name}`);
    const share = element("div", "share");
    share.append(this.#progress, this.#share);
    this.whole.append(title, this.#state, share, this.#addButtons(one, actions));
  }

  #addButtons(one, actions) {
    const buttons = element("div", "buttons");
    for (const action of actions) {
      const button = element("button", "", action);
      button.type = "button";
      button.setAttribute("aria-label", `${action} ${one.name}`);
      button.addEventListener("click", () => press(button, one.name, action));
      this.#buttons.set(action, button);
      buttons.append(button);
    }
    return buttons;
  }

  show(one) {
    const circuit = one.circuit.replace(" ", "-");
    const badges = [];
    if (one.process) badges.push(element("span", `badge ${one.process}`, one.process));
    badges.push(element("span", `badge ${circuit}`, `circuit ${one.circuit}` + (one.since ? ` since ${clock(one.since)}` : "")));
    this.#state.replaceChildren(...badges);
    this.#progress.value = one.share;
    this.#share.textContent = `${Math.round(one.share * 100)} % of traffic`;
    this.#allow("kill", one.process !== "dead");
    this.#allow("freeze", one.process === "running");
    this.#allow("restart", one.process !== "starting");
  }

  #allow(action, allowed) {
    const button = this.#buttons.get(action);
    if (button) button.setAttribute("aria-disabled", String(!allowed));
  }
}

async function press(button, name, action) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const answer = await fetch(`/control/${encodeURIComponent(name)}/${action}`, { method: "POST" });
  button.title = answer.ok ? "" : await answer.text();
}
