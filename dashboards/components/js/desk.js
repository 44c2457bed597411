// The command desk: one form at a time, each with its reason; what was answered stays below.
export function render(ctx) {
  const { h } = qm;
  let openForm = "";
  let filled = "";
  let problem = "";
  let ui = null;

  const FORMS = [
    { id: "pause", label: "Pause", title: "Pause entries", verb: "Pause entries", about: "New entries are blocked and working entry orders cancelled; exits go on." },
    { id: "resume", label: "Resume", title: "Resume after a halt", verb: "Resume", about: "Every line of Safe To Resume (§23) is answered; an open one refuses the resume." },
    { id: "release", label: "Release entries", title: "Release held entries", verb: "Release entries", about: "Lets entries pass again once reconciliation has passed." },
    { id: "block", label: "Block symbol", title: "Block a symbol", verb: "Block", about: "Keeps it out of scanner and watchlist; an open position keeps its exits." },
    { id: "unblock", label: "Unblock", title: "Unblock a symbol", verb: "Unblock", about: "Lets the scanner find it again." },
    { id: "drop", label: "Drop candidate", title: "Drop a candidate", verb: "Drop", about: "Takes it off the watchlist; an open position keeps its exits." },
    { id: "stop", label: "Stop strategy", title: "Stop a strategy", verb: "Stop", about: "No more entries by it; its positions keep their exits." },
    { id: "reconcile", label: "Reconcile", title: "Reconcile now", verb: "Reconcile", about: "Compares positions, orders and executions with the broker." },
    { id: "note", label: "Add note", title: "Add a note", verb: "Add note", about: "Kept with the session and read in the review." },
  ];
  const LINES = [
    ["cause_understood", "Incident cause understood"],
    ["internal_state_repaired", "Internal state repaired"],
    ["risk_controls_verified", "Risk controls verified"],
  ];

  const open = (id, value = "") => {
    openForm = openForm === id && !value ? "" : id;
    filled = value;
    problem = "";
    ui.redraw();
    const first = ui.host.querySelector("form input, form select");
    if (first && openForm) { if (value && first.name !== "operator") first.value = value; first.focus(); }
  };

  const read = (form) => {
    const text = (name) => { const field = form.elements.namedItem(name); return field ? field.value.trim() : ""; };
    const ticked = (name) => form.elements.namedItem(name).checked;
    const reason = text("reason");
    switch (openForm) {
      case "pause": return { command: "pause", reason };
      case "resume": return { command: "resume", reason, incident: text("incident"), ...Object.fromEntries(LINES.map(([name]) => [name, ticked(name)])) };
      case "release": return { command: "release_entries", reason };
      case "block": return { command: "block", symbol: text("symbol").toUpperCase(), scope: text("scope"), reason };
      case "unblock": return { command: "unblock", symbol: text("symbol"), reason };
      case "drop": return { command: "drop_candidate", symbol: text("symbol"), reason };
      case "stop": return { command: "stop_strategy", strategy_id: text("strategy_id"), reason };
      case "reconcile": return { command: "reconcile", reason };
      default: return { command: "add_note", kind: text("kind"), reason };
    }
  };

  const missing = (command, operator) => {
    if (!operator) return "Give your name: every command is signed with it.";
    if ("symbol" in command && !command.symbol) return "Name the symbol.";
    if (command.command === "resume" && !command.incident) return "Name the incident; \"none: planned pause\" is an answer.";
    if (!command.reason) return "Say why: it is read in the review, and at night by someone else.";
    return "";
  };

  const submit = (event, view) => {
    event.preventDefault();
    const operator = qm.takeOperator(event.currentTarget);
    const command = read(event.currentTarget);
    problem = missing(command, operator);
    if (!problem) { qm.send(ctx.model, view.version, command); openForm = ""; }
    ui.redraw();
  };

  const select = (name, label, options) => h("label", { key: name }, label, h("select", { name },
    options.map((each) => h("option", { key: each.value ?? each, value: each.value ?? each }, each.label ?? each))));
  const text = (name, label, props = {}) => h("label", { key: name }, label, h("input", { name, autocomplete: "off", maxlength: 500, ...props }));

  const fields = (view) => {
    switch (openForm) {
      case "resume": return [
        text("incident", "Incident", { placeholder: "what happened; none: planned pause" }),
        h("fieldset", { key: "lines" }, h("legend", {}, "Safe to resume"),
          h("p", { class: `check ${view.reconciled.ok ? "tone-ok" : "tone-bad"}` }, view.reconciled.ok ? "✓" : "✗", ` Broker state reconciled: ${view.reconciled.text}`),
          LINES.map(([name, label]) => h("label", { class: "pick", key: name }, h("input", { type: "checkbox", name }), h("span", {}, label))),
          h("p", { class: "check dim" }, "Operator decision recorded: this form"))];
      case "block": return [
        h("datalist", { key: "known", id: "qm-symbols" }, view.symbols.map((symbol) => h("option", { key: symbol, value: symbol }))),
        text("symbol", "Symbol", { list: "qm-symbols", maxlength: 20 }),
        select("scope", "For", [{ value: "session", label: "this session" }, { value: "permanent", label: "until a person lifts it" }])];
      case "unblock": return select("symbol", "Symbol", view.blocked);
      case "drop": return select("symbol", "Candidate", view.watched);
      case "stop": return select("strategy_id", "Strategy", view.strategies);
      case "note": return select("kind", "Kind", ["operator", "incident", "override", "improvement"]);
      default: return [];
    }
  };

  const form = (view) => {
    const spec = FORMS.find((each) => each.id === openForm);
    return h("form", { key: `${openForm}/${filled}`, class: "desk-form", "aria-label": spec.title, onsubmit: (event) => submit(event, view),
      onkeydown: (event) => { if (event.key === "Escape") open(openForm); } },
      h("h3", {}, spec.title), h("p", { class: "dim" }, spec.about), fields(view),
      text("reason", openForm === "note" ? "Text" : "Reason"), qm.operatorField("desk-operator"),
      problem && h("p", { class: "problem", role: "alert" }, problem),
      h("div", { class: "row" }, h("button", { type: "submit", class: "go" }, spec.verb),
        h("button", { type: "button", class: "plain", onclick: () => open(openForm) }, "Cancel")));
  };

  const draw = (view) => {
    return h("section", { class: "panel desk", "aria-label": "Commands" },
      h("header", {}, h("h2", {}, "Commands"), qm.operator() && h("span", { class: "note" }, `signed ${qm.operator()}`)),
      h("div", { class: "buttons" }, FORMS.map((each) => h("button", { key: each.id, type: "button", class: `plain ${each.id === openForm ? "on" : ""}`,
        disabled: Boolean(view.offers[each.id]), title: view.offers[each.id] || each.about, "aria-expanded": String(each.id === openForm),
        onclick: () => open(each.id) }, each.label))),
      openForm && form(view),
      view.results.length > 0 && h("div", { class: "results", "aria-live": "polite" }, view.results.slice(0, 3).map((each) =>
        h("div", { key: each.command_id }, qm.outcome(each)))));
  };

  ui = qm.mount(ctx, draw);
  const onOpen = (event) => { open(event.detail.form, event.detail.symbol); ui.host.scrollIntoView({ block: "nearest" }); };
  window.addEventListener("qm:open", onOpen);
  window.addEventListener("qm:operator", ui.redraw);
  ctx.model.on("remove", () => { window.removeEventListener("qm:open", onOpen); window.removeEventListener("qm:operator", ui.redraw); });
  return ui.host;
}
