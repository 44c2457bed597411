// Required decisions: a question, its options as buttons, and the reason that goes on record with the answer.
export function render(ctx) {
  const { h } = qm;
  const chosen = new Map(); // decision_id -> the option that waits for its confirmation
  const problems = new Map();
  const sent = new Map();
  let ui = null;

  const choose = (item, option) => { chosen.set(item.decision_id, option.value); problems.delete(item.decision_id); ui.redraw(); };

  const answer = (event, view, item) => {
    event.preventDefault();
    const form = event.currentTarget;
    const reason = form.elements.namedItem("reason").value.trim();
    const operator = qm.takeOperator(form);
    const problem = !operator ? "Give your name: the answer is signed with it." : !reason ? "Say why: it is read in the review." : "";
    if (problem) { problems.set(item.decision_id, problem); ui.redraw(); return; }
    problems.delete(item.decision_id);
    const given = { command: "decide", decision_id: item.decision_id, choice: chosen.get(item.decision_id), reason };
    sent.set(item.decision_id, qm.send(ctx.model, view.version, given));
    ui.redraw();
  };

  const card = (view, item) => {
    const choice = chosen.get(item.decision_id);
    const picked = item.options.find((option) => option.value === choice);
    const given = sent.get(item.decision_id);
    const outcome = given && qm.outcomeOf(view, given);
    const busy = outcome && !qm.settled(outcome);
    return h("form", { key: item.decision_id, class: "panel decision", "aria-label": "Decision required", onsubmit: (event) => answer(event, view, item) },
      h("div", { class: "lead" }, h("h2", {}, "Decision required"), h("p", {}, item.question),
        h("p", { class: "dim" }, `asked ${item.since}`, item.escalated && h("b", { class: "tone-bad" }, ` · ${item.escalated}`))),
      h("div", { class: "answer" },
        h("div", { class: "row" }, item.options.map((option) => h("button", { key: option.value, type: "button", disabled: busy,
          class: `option ${option.grave ? "grave" : ""} ${option.value === choice ? "on" : ""}`, "aria-pressed": String(option.value === choice),
          onclick: () => choose(item, option) }, option.label))),
        picked && h("div", { key: "why", class: "row" },
          h("label", {}, "Reason", h("input", { name: "reason", autocomplete: "off", maxlength: 500 })),
          qm.operatorField(`op-${item.decision_id}`),
          h("button", { type: "submit", class: picked.grave ? "confirm" : "go", disabled: busy }, `Confirm: ${picked.label}`)),
        problems.has(item.decision_id) && h("p", { class: "problem", role: "alert" }, problems.get(item.decision_id)),
        outcome && qm.outcome(outcome)));
  };

  ui = qm.mount(ctx, (view) => view.items.map((item) => card(view, item)));
  window.addEventListener("qm:operator", ui.redraw);
  const timer = setInterval(() => { if (sent.size) ui.redraw(); }, 1000);
  ctx.model.on("remove", () => { clearInterval(timer); window.removeEventListener("qm:operator", ui.redraw); });
  return ui.host;
}
