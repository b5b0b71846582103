// What the server tells, drawn as it comes: one snapshot, then what has changed.
import { Calls } from "./calls.js";
import { Instances } from "./instances.js";
import { Latency } from "./latency.js";
import { clock, element } from "./element.js";

const byId = (id) => document.getElementById(id);
const instances = new Instances(byId("instances"));
const latency = new Latency(byId("latency"));
const calls = new Calls(byId("calls"), byId("every"));

function begin(view) {
  latency.clear();
  calls.clear();
  change(view);
}

function change(view) {
  instances.show(view.instances ?? [], view.actions);
  latency.add(view.now, view.points, view.marks, instances.names);
  calls.add(view.calls, instances.names);
  showLately(view.marks);
  showTotals(view);
  showTips(view.tips);
  byId("troubles").replaceChildren(...view.troubles.map((text) => element("p", "trouble", text)));
}

function showLately(marks) {
  const last = marks.at(-1);
  if (last) {
    byId("lately").textContent = `${clock(last.at)} ${instances.names.get(last.instance) ?? last.instance}: ${last.what}`;
  }
}

function showTotals(view) {
  const t = view.totals;
  if (!view.observed) {
    byId("totals").textContent = "This client is not oncemore's: it tells nothing of its calls.";
  } else if (t.calls > 0) {
    byId("totals").textContent =
      `${t.calls} made, ${t.saved_by_retry} saved by a retry, ${t.saved_by_hedge} by a hedge, ${t.failed} failed`;
  }
}

function showTips(tips) {
  for (const field of document.querySelectorAll("[data-tips]")) {
    const name = field.dataset.tips;
    field.textContent = tips ? tips[name] : "–";
    if (name === "duplicates" || name === "lost") {
      field.className = !tips ? "" : tips[name] === 0 ? "good" : "bad";
    }
  }
}

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("snapshot", (e) => begin(JSON.parse(e.data)));
  events.addEventListener("change", (e) => change(JSON.parse(e.data)));
  events.addEventListener("open", () => { byId("connection").textContent = "live"; });
  events.addEventListener("error", () => { byId("connection").textContent = "connecting again …"; });
  addEventListener("pagehide", () => events.close(), { once: true });
}

listen();
// Who goes back finds the page, and its form, as they were, but for the stream.
addEventListener("pageshow", (e) => { if (e.persisted) listen(); });
