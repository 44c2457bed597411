// The command desk: one form at a time, each with its reason; what was answered stays below.
export function render(ctx) {
  const { h } = qm;
  let openForm = "";
  let filled = "";
  let problem = "";
  let ui = null;

  // id -> button, heading, what the submitting button says, what it does
  const FORMS = {
    pause: ["Pause", "Pause entries", "Pause entries",
      "New entries are blocked and working entry orders cancelled; exits go on."],
    resume: ["Resume", "Resume after a halt", "Resume",
      "Every line of Safe To Resume (§23) is answered; an open one refuses the resume."],
    release: ["Release entries", "Release held entries", "Release entries",
      "Lets entries pass again once reconciliation has passed."],
    block: ["Block symbol", "Block a symbol", "Block",
      "Keeps it out of scanner and watchlist; an open position keeps its exits."],
    unblock: ["Unblock", "Unblock a symbol", "Unblock", "Lets the scanner find it again."],
    drop: ["Drop candidate", "Drop a candidate", "Drop",
      "Takes it off the watchlist; an open position keeps its exits."],
    stop: ["Stop strategy", "Stop a strategy", "Stop", "No more entries by it; its positions keep their exits."],
    restart: ["Restart strategy", "Restart a stopped strategy", "Restart",
      "Its entries may pass again; refused while that is unsafe (§10)."],
    close: ["Close position", "Close a position", "Close position",
      "Its resting orders are cancelled, then its actual quantity is closed, until flat."],
    cancel: ["Cancel order", "Cancel an order", "Cancel order",
      "The order works on until the broker says otherwise; a position may be left without its stop."],
    replace: ["Replace order", "Replace an order", "Replace",
      "Smaller, or a resting exit at another price: never more risk. Leave empty what stays as it is."],
    reconcile: ["Reconcile", "Reconcile now", "Reconcile",
      "Compares positions, orders and executions with the broker."],
    accept: ["Accept difference", "Accept a difference in money", "Accept the broker's figure",
      "The broker's figure counts from then on, on your word; say what it was."],
    note: ["Add note", "Add a note", "Add note", "Kept with the session and read in the review."],
  };
  const TICKS = ["cause_understood", "internal_state_repaired", "risk_controls_verified"];
  const SCOPES = [
    { value: "session", label: "this session" },
    { value: "permanent", label: "until a person lifts it" },
  ];
  const NOTE_KINDS = ["operator", "incident", "override", "improvement"];

  const formKey = () => `${openForm}/${filled}`;

  const open = (id, value = "") => {
    openForm = openForm === id && !value ? "" : id;
    filled = value;
    problem = "";
    ui.redraw();
    const first = openForm && ui.host.querySelector("form input, form select");
    if (!first) return;
    if (value && first.name !== "operator") first.value = value;
    first.focus();
  };

  const read = ({ elements }) => {
    const text = (name) => elements.namedItem(name).value.trim();
    const reason = text("reason");
    switch (openForm) {
      case "pause": return { command: "pause", reason };
      case "resume": {
        const ticks = TICKS.map((name) => [name, Boolean(elements.namedItem(name)?.checked)]);
        return { command: "resume", reason, incident: text("incident"), ...Object.fromEntries(ticks) };
      }
      case "release": return { command: "release_entries", reason };
      case "block": return { command: "block", symbol: text("symbol").toUpperCase(), scope: text("scope"), reason };
      case "unblock": return { command: "unblock", symbol: text("symbol"), reason };
      case "drop": return { command: "drop_candidate", symbol: text("symbol"), reason };
      case "stop": return { command: "stop_strategy", strategy_id: text("strategy_id"), reason };
      case "restart": return { command: "restart_strategy", strategy_id: text("strategy_id"), reason };
      case "cancel": return { command: "cancel_order", cl_ord_id: text("cl_ord_id"), reason };
      case "replace": return {
        command: "replace_order", cl_ord_id: text("cl_ord_id"), order_qty: text("order_qty"),
        limit_px: text("limit_px"), stop_px: text("stop_px"), reason,
      };
      case "close": {
        const [strategy_id, symbol] = text("position").split("|");
        return { command: "close_position", strategy_id, symbol, reason };
      }
      case "reconcile": return { command: "reconcile", reason };
      case "accept": return { command: "accept_break", break_id: text("break_id"), reason };
      default: return { command: "add_note", kind: text("kind"), reason };
    }
  };

  // The choice that cannot be sent any more, or was never made, in words; "" where every one stands.
  const unchosen = (form) => {
    for (const { selectedOptions: [picked] } of form.querySelectorAll("select")) {
      if (!picked) return "What this was opened for is no longer there: choose from the list, or cancel.";
      if (picked.dataset.gone) return `${picked.dataset.gone} is no longer there: choose another, or cancel.`;
    }
    return "";
  };

  const missing = (command, operator) => {
    if (!operator) return "Give your name: every command is signed with it.";
    if ("symbol" in command && !command.symbol) return "Name the symbol.";
    if (command.command === "replace_order" && !command.order_qty && !command.limit_px && !command.stop_px) {
      return "Give a new quantity, limit or stop.";
    }
    if ("incident" in command && !command.incident) return "Name the incident: \"none: planned pause\" is an answer.";
    if (!command.reason) return "Say why: it is read in the review, and at night by someone else.";
    return "";
  };

  const submit = (event, view) => {
    event.preventDefault();
    const operator = qm.takeOperator(event.currentTarget);
    problem = unchosen(event.currentTarget);
    const command = problem ? null : read(event.currentTarget);
    problem = problem || missing(command, operator);
    if (!problem) {
      qm.send(ctx.model, view.version, command);
      openForm = "";
    }
    ui.redraw();
  };

  const option = (each) =>
    h("option", { key: each.value ?? each, value: each.value ?? each, "data-gone": each.gone }, each.label ?? each);

  // What was chosen stays chosen: an order that fills meanwhile is told to be gone, and another is not put in its place.
  const select = (name, label, options) => {
    const form = ui.host.querySelector("form.desk-form");
    const chosen = form && form.qmProps.key === formKey() ? form.elements.namedItem(name) : null;
    const picked = chosen && chosen.selectedOptions[0];
    const offered = options.map((each) => ({ value: each.value ?? each, label: each.label ?? each, gone: null }));
    if (picked && !offered.some((each) => each.value === picked.value)) {
      const label = picked.dataset.gone || picked.textContent;
      offered.unshift({ value: picked.value, label: `${label} (no longer there)`, gone: label });
    }
    return h("label", { key: name }, label, h("select", { name }, offered.map(option)));
  };
  const text = (name, label, props = {}) =>
    h("label", { key: name }, label, h("input", { name, autocomplete: "off", maxlength: 500, ...props }));

  const number = (name, label) => text(name, label, { inputmode: "decimal", maxlength: 24, placeholder: "as it is" });

  // §23, line by line: a tick where a person answers, a mark where the platform does.
  const line = (each) => {
    const told = each.text && h("small", { class: each.ok ? "dim" : "tone-bad" }, each.text);
    if (!each.name) {
      return h("p", { key: each.label, class: `check ${each.ok ? "tone-ok" : "tone-bad"}` },
        `${each.ok ? "✓" : "✗"} ${each.label}`, told);
    }
    return h("label", { class: "pick", key: each.label },
      h("input", { type: "checkbox", name: each.name }), h("span", {}, each.label, told));
  };

  const safeToResume = (lines) =>
    h("fieldset", { key: "lines" }, h("legend", {}, "Safe to resume"), lines.map(line));

  const refusals = (against) => against.length > 0 &&
    h("ul", { key: "against", class: "problem" }, against.map((each) => h("li", { key: each }, each)));

  const fields = (view) => {
    switch (openForm) {
      case "resume": return [
        text("incident", "Incident", { placeholder: "what happened; none: planned pause" }),
        safeToResume(view.lines),
      ];
      case "block": return [
        h("datalist", { key: "known", id: "qm-symbols" }, view.symbols.map(option)),
        text("symbol", "Symbol", { list: "qm-symbols", maxlength: 20 }),
        select("scope", "For", SCOPES),
      ];
      case "unblock": return select("symbol", "Symbol", view.blocked);
      case "drop": return select("symbol", "Candidate", view.watched);
      case "stop": return select("strategy_id", "Strategy", view.strategies);
      case "restart": return [
        select("strategy_id", "Strategy", view.stopped),
        view.stopped.map((name) => refusals((view.against_restart[name] || []).map((why) => `${name}: ${why}`))),
      ];
      case "cancel": return select("cl_ord_id", "Order", view.working);
      case "replace": return [
        select("cl_ord_id", "Order", view.replaceable),
        h("div", { key: "terms", class: "row terms" },
          number("order_qty", "Quantity"), number("limit_px", "Limit"), number("stop_px", "Stop")),
      ];
      case "close": return select("position", "Position", view.held);
      case "accept": return select("break_id", "Difference", view.money);
      case "note": return select("kind", "Kind", NOTE_KINDS);
      default: return [];
    }
  };

  const form = (view) => {
    const [, title, verb, about] = FORMS[openForm];
    return h("form", {
      key: formKey(), class: "desk-form", "aria-label": title,
      onsubmit: (event) => submit(event, view),
      onkeydown: (event) => { if (event.key === "Escape") open(openForm); },
    },
      h("h3", {}, title),
      h("p", { class: "dim" }, about),
      fields(view),
      text("reason", openForm === "note" ? "Text" : "Reason"),
      qm.operatorField(),
      problem && h("p", { class: "problem", role: "alert" }, problem),
      h("div", { class: "row" },
        h("button", { type: "submit", class: "go" }, verb),
        h("button", { type: "button", class: "plain", onclick: () => open(openForm) }, "Cancel")));
  };

  const opener = (view, [id, [label, , , about]]) =>
    h("button", {
      key: id, type: "button", class: `plain ${id === openForm ? "on" : ""}`, disabled: Boolean(view.offers[id]),
      title: view.offers[id] || about, "aria-expanded": String(id === openForm), onclick: () => open(id),
    }, label);

  const result = (each) => h("div", { key: each.command_id }, qm.outcome(each));

  const draw = (view) =>
    h("section", { class: "panel desk", "aria-label": "Commands" },
      h("header", {},
        h("h2", {}, "Commands"),
        qm.operator() && h("span", { class: "note" }, `signed ${qm.operator()}`)),
      h("div", { class: "buttons" }, Object.entries(FORMS).map((entry) => opener(view, entry))),
      openForm && form(view),
      view.results.length > 0 &&
        h("div", { class: "results", "aria-live": "polite" }, view.results.slice(0, 3).map(result)));

  ui = qm.mount(ctx, draw);
  const onOpen = (event) => {
    open(event.detail.form, event.detail.symbol);
    ui.host.scrollIntoView({ block: "nearest" });
  };
  window.addEventListener("qm:open", onOpen);
  window.addEventListener("qm:operator", ui.redraw);
  ctx.model.on("remove", () => {
    window.removeEventListener("qm:open", onOpen);
    window.removeEventListener("qm:operator", ui.redraw);
  });
  return ui.host;
}
