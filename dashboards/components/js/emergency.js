// Emergency Liquidate & Halt: arm, then confirm with a reason; reachable above the veil and from the keyboard (Alt+Shift+E).
export function render(ctx) {
  const { h } = qm;
  const DISARM_AFTER_S = 60;
  let armedAt = null; // null: the panel is closed
  let reason = "";
  let problem = "";
  let sent = null;
  let ui = null;
  const find = (selector) => ui.host.querySelector(selector);

  const arm = () => {
    armedAt = performance.now();
    problem = "";
    if (sent && qm.settled(qm.outcomeOf(qm.viewOf(ctx.model), sent))) { sent = null; reason = ""; }
    ui.redraw();
    (find("input[type=radio]") || find(".em-panel button")).focus();
  };
  const disarm = () => { armedAt = null; reason = ""; ui.redraw(); find(".em-button").focus(); };
  const touch = () => { armedAt = performance.now(); };

  const confirm = (event, view) => {
    event.preventDefault();
    if (sent) return; // one armed emergency is one command, however often it is confirmed
    const form = event.currentTarget;
    const typed = form.elements.namedItem("typed").value.trim();
    const picked = form.elements.namedItem("picked").value;
    reason = [picked, typed].filter(Boolean).join(": ");
    if (!reason) { problem = "Pick a reason or type one."; ui.redraw(); return; }
    qm.takeOperator(form);
    sent = qm.send(ctx.model, view.version, { command: "emergency", reason });
    ui.redraw();
    find(".em-panel").focus(); // on no button: a second Enter must neither send again nor close what is being watched
  };

  const keys = (event) => {
    touch();
    if (event.key === "Escape") { event.stopPropagation(); disarm(); return; }
    const typing = event.target.name === "typed" || event.target.name === "operator";
    const radio = !typing && find(`input[type=radio][data-n="${event.key}"]`);
    if (radio) { event.preventDefault(); radio.checked = true; problem = ""; ui.redraw(); find(".confirm").focus(); }
  };

  const form = (view) => h("form", { key: "form", onsubmit: (event) => confirm(event, view), oninput: touch },
    h("ul", { class: "would" }, view.would.map((line) => h("li", {}, line))),
    h("fieldset", {}, h("legend", {}, "Why (press a number, or type)"),
      view.reasons.map((text, n) => h("label", { class: "pick", key: text },
        h("input", { type: "radio", name: "picked", value: text, "data-n": n + 1 }), h("kbd", {}, String(n + 1)), h("span", {}, text)))),
    h("label", {}, "In your words", h("input", { name: "typed", autocomplete: "off", maxlength: 300, placeholder: "optional when a reason is picked" })),
    qm.operatorField("em-operator"),
    problem && h("p", { class: "problem", role: "alert" }, problem),
    h("div", { class: "row" }, h("button", { type: "submit", class: "confirm" }, "Liquidate & halt now"),
      h("button", { type: "button", class: "plain close", onclick: disarm }, "Cancel (Esc)")));

  const told = (view) => {
    const outcome = qm.outcomeOf(view, sent);
    const begun = view.progress;
    return h("div", { key: "told" }, qm.outcome(outcome), h("p", { class: "dim" }, `Reason: ${reason}`),
      begun && h("p", { class: "headline" }, begun.headline), begun && begun.detail && h("p", {}, begun.detail),
      h("div", { class: "row" }, h("button", { type: "button", class: "plain close", onclick: disarm }, "Close")));
  };

  const draw = (view) => {
    const begun = view.progress;
    const armed = armedAt !== null && !sent;
    const label = armed ? ["Armed", "confirm or cancel"] : begun && !begun.done ? [begun.headline] : ["Emergency", "Liquidate & Halt"];
    return [
      h("button", { key: "button", type: "button", class: `em-button ${begun && !begun.done ? "running" : ""} ${armed ? "armed" : ""}`, "aria-expanded": String(armedAt !== null),
        "aria-keyshortcuts": "Alt+Shift+E", title: "Cancel entries, close every position, stay halted (Alt+Shift+E)",
        // Armed, a second press must not undo the first: it leads to the confirmation.
        onclick: () => (armedAt === null ? arm() : find(armed ? ".confirm" : ".close").focus()) }, label.map((line) => h("span", {}, line)), h("small", {}, armed ? "Esc cancels" : "Alt+Shift+E")),
      armedAt !== null && h("div", { key: "panel", class: "em-panel", role: "dialog", tabindex: -1, "aria-label": "Emergency Liquidate & Halt", onkeydown: keys },
        h("h2", {}, sent ? "Emergency Liquidate & Halt" : "Armed: Emergency Liquidate & Halt"), sent ? told(view) : form(view)),
    ];
  };

  ui = qm.mount(ctx, draw);
  const onArm = () => { if (armedAt === null) arm(); };
  window.addEventListener("qm:arm", onArm);
  window.addEventListener("qm:operator", ui.redraw);
  const timer = setInterval(() => {
    if (armedAt !== null && !sent && performance.now() - armedAt > DISARM_AFTER_S * 1000) disarm();
    else if (sent && armedAt !== null) ui.redraw(); // the waiting time is told by the second
  }, 500);
  ctx.model.on("remove", () => {
    clearInterval(timer);
    window.removeEventListener("qm:arm", onArm);
    window.removeEventListener("qm:operator", ui.redraw);
  });
  return ui.host;
}
