// Required decisions: a question, its options as buttons, and the reason that goes on record with the answer.
export function render(ctx) {
  const { h } = qm;
  const chosen = new Map(); // decision_id -> the option that waits for its confirmation
  const problems = new Map();
  const sent = new Map();
  let ui = null;

  const choose = (item, option) => {
    chosen.set(item.decision_id, option.value);
    problems.delete(item.decision_id);
    ui.redraw();
  };

  const missing = (operator, reason) => {
    if (!operator) return "Give your name: the answer is signed with it.";
    return reason ? "" : "Say why: it is read in the review.";
  };

  const answer = (event, view, item) => {
    event.preventDefault();
    const form = event.currentTarget;
    const reason = form.elements.namedItem("reason").value.trim();
    const problem = missing(qm.takeOperator(form), reason);
    problems.set(item.decision_id, problem);
    if (!problem) {
      const { decision_id } = item;
      const given = { command: "decide", decision_id, choice: chosen.get(decision_id), reason };
      sent.set(decision_id, qm.send(ctx.model, view.version, given));
    }
    ui.redraw();
  };

  const option = (item, each, disabled) => {
    const on = each.value === chosen.get(item.decision_id);
    return h("button", {
      key: each.value, type: "button", disabled, "aria-pressed": String(on),
      class: `option ${each.grave ? "grave" : ""} ${on ? "on" : ""}`, onclick: () => choose(item, each),
    }, each.label);
  };

  const confirmation = (picked, disabled) =>
    h("div", { key: "why", class: "row" },
      h("label", {}, "Reason", h("input", { name: "reason", autocomplete: "off", maxlength: 500 })),
      qm.operatorField(),
      h("button", { type: "submit", class: picked.grave ? "confirm" : "go", disabled }, `Confirm: ${picked.label}`));

  const card = (view, item) => {
    const picked = item.options.find((each) => each.value === chosen.get(item.decision_id));
    const given = sent.get(item.decision_id);
    const outcome = given && qm.outcomeOf(view, given);
    const busy = Boolean(outcome) && !qm.settled(outcome);
    const problem = problems.get(item.decision_id);
    return h("form", {
      key: item.decision_id, class: "panel decision", "aria-label": "Decision required",
      onsubmit: (event) => answer(event, view, item),
    },
      h("div", { class: "lead" },
        h("h2", {}, "Decision required"),
        h("p", {}, item.question),
        h("p", { class: "dim" },
          `asked ${item.since}`,
          item.escalated && h("b", { class: "tone-bad" }, ` · ${item.escalated}`))),
      h("div", { class: "answer" },
        h("div", { class: "row" }, item.options.map((each) => option(item, each, busy))),
        picked && confirmation(picked, busy),
        problem && h("p", { class: "problem", role: "alert" }, problem),
        outcome && qm.outcome(outcome)));
  };

  ui = qm.mount(ctx, (view) => view.items.map((item) => card(view, item)));
  window.addEventListener("qm:operator", ui.redraw);
  const timer = setInterval(() => { if (sent.size) ui.redraw(); }, 1000);
  ctx.model.on("remove", () => {
    clearInterval(timer);
    window.removeEventListener("qm:operator", ui.redraw);
  });
  return ui.host;
}
