// Emergency Liquidate & Halt: arm, then confirm with a reason. Above the veil, and from the keyboard (Alt+Shift+E).
export function render(ctx) {
  const { h } = qm;
  const DISARM_AFTER_S = 60;
  const NAME = "Emergency Liquidate & Halt";
  let touchedAt = null; // null: the panel is closed
  let reason = "";
  let problem = "";
  let sent = null;
  let ui = null;
  const find = (selector) => ui.host.querySelector(selector);
  const touch = () => { touchedAt = performance.now(); };

  const arm = () => {
    touch();
    problem = "";
    if (sent && qm.settled(qm.outcomeOf(qm.viewOf(ctx.model), sent))) {
      sent = null;
      reason = "";
    }
    ui.redraw();
    (find("input[type=radio]") || find(".em-panel")).focus();
  };

  const close = () => {
    touchedAt = null;
    ui.redraw();
    find(".em-button").focus();
  };

  const confirm = (event, view) => {
    event.preventDefault();
    if (sent) return; // one armed emergency is one command, however often it is confirmed
    const { elements } = event.currentTarget;
    reason = [elements.picked.value, elements.typed.value.trim()].filter(Boolean).join(": ");
    if (!reason) {
      problem = "Pick a reason or type one.";
      ui.redraw();
      return;
    }
    qm.takeOperator(event.currentTarget);
    sent = qm.send(ctx.model, view.version, { command: "emergency", reason });
    ui.redraw();
    find(".em-panel").focus(); // on no button: a second Enter must neither send again nor close what is being watched
  };

  const keys = (event) => {
    touch();
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
      return;
    }
    const typing = event.target.name === "typed" || event.target.name === "operator";
    const radio = typing ? null : find(`input[type=radio][data-n="${CSS.escape(event.key)}"]`);
    if (radio) {
      event.preventDefault();
      radio.checked = true;
      problem = "";
      ui.redraw();
      find(".confirm").focus();
    }
  };

  const pick = (text, n) =>
    h("label", { class: "pick", key: text },
      h("input", { type: "radio", name: "picked", value: text, "data-n": n + 1 }),
      h("kbd", {}, String(n + 1)),
      h("span", {}, text));

  const form = (view) =>
    h("form", { key: "form", onsubmit: (event) => confirm(event, view), oninput: touch },
      h("ul", { class: "would" }, view.would.map((line) => h("li", {}, line))),
      h("fieldset", {}, h("legend", {}, "Why (press a number, or type)"), view.reasons.map(pick)),
      h("label", {}, "In your words", h("input", {
        name: "typed", autocomplete: "off", maxlength: 300, placeholder: "optional when a reason is picked",
      })),
      qm.operatorField(),
      problem && h("p", { class: "problem", role: "alert" }, problem),
      h("div", { class: "row" },
        h("button", { type: "submit", class: "confirm" }, "Liquidate & halt now"),
        h("button", { type: "button", class: "plain close", onclick: close }, "Cancel (Esc)")));

  const told = (view) => {
    const begun = view.progress;
    return h("div", { key: "told" },
      qm.outcome(qm.outcomeOf(view, sent)),
      h("p", { class: "dim" }, `Reason: ${reason}`),
      begun && h("p", { class: "headline" }, begun.headline),
      begun && begun.detail && h("p", {}, begun.detail),
      h("div", { class: "row" }, h("button", { type: "button", class: "plain close", onclick: close }, "Close")));
  };

  const button = (armed, running) => {
    const lines = armed ? ["Armed", "confirm or cancel"] : running ? [running] : ["Emergency", "Liquidate & Halt"];
    return h("button", {
      key: "button", type: "button", class: `em-button ${running ? "running" : ""} ${armed ? "armed" : ""}`,
      "aria-expanded": String(touchedAt !== null), "aria-keyshortcuts": "Alt+Shift+E",
      title: "Cancel entries, close every position, stay halted (Alt+Shift+E)",
      // Armed, a second press must not undo the first: it leads to the confirmation.
      onclick: () => (touchedAt === null ? arm() : find(armed ? ".confirm" : ".close").focus()),
    },
      lines.map((line) => h("span", {}, line)),
      h("small", {}, armed ? "Esc cancels" : "Alt+Shift+E"));
  };

  const draw = (view) => {
    const armed = touchedAt !== null && !sent;
    const running = view.progress && !view.progress.done ? view.progress.headline : "";
    return [
      button(armed, running),
      touchedAt !== null && h("div", {
        key: "panel", class: "em-panel", role: "dialog", tabindex: -1, "aria-label": NAME, onkeydown: keys,
      },
        h("h2", {}, armed ? `Armed: ${NAME}` : NAME),
        sent ? told(view) : form(view)),
    ];
  };

  ui = qm.mount(ctx, draw);
  const onArm = () => { if (touchedAt === null) arm(); };
  window.addEventListener("qm:arm", onArm);
  window.addEventListener("qm:operator", ui.redraw);
  const timer = setInterval(() => {
    if (touchedAt === null) return;
    if (sent) ui.redraw(); // the waiting time is told by the second
    else if (performance.now() - touchedAt > DISARM_AFTER_S * 1000) close();
  }, 500);
  ctx.model.on("remove", () => {
    clearInterval(timer);
    window.removeEventListener("qm:arm", onArm);
    window.removeEventListener("qm:operator", ui.redraw);
  });
  return ui.host;
}
