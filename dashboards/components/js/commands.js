// How a command that was given is told about, wherever it was given. Runs once, after qm.js.
(() => {
  const { h } = qm;

  const TOLD = {
    accepted: ["Accepted", "ok"],
    refused: ["Refused", "bad"],
    sending: ["Sending", "info"],
    retrying: ["Trying", "warn"],
    silent: ["No answer", "bad"],
    unanswered: ["No answer", "bad"],
    undelivered: ["Not delivered", "bad"],
  };
  const SETTLED = new Set(["accepted", "refused", "undelivered", "unanswered"]);
  const PAGE_SERVER_LATE_S = 2;

  // The outcome of `sent` among the results in `view`; without one, how long it has been waited for.
  qm.outcomeOf = (view, sent) => {
    const found = view.results.find((each) => each.command_id === sent.command_id);
    if (found) return found;
    const waited = (performance.now() - sent.at) / 1000;
    if (waited < PAGE_SERVER_LATE_S) return { ...sent, state: "sending", text: "Sending…", remedy: "" };
    const remedy = sent.name === "emergency"
      ? "In a terminal: qm emergency"
      : "Wait, or look at qm status before giving it again.";
    return { ...sent, state: "silent", text: `The page's server has not answered for ${Math.floor(waited)} s.`, remedy };
  };

  qm.settled = (outcome) => SETTLED.has(outcome.state);

  qm.outcome = (outcome) => {
    const [word, tone] = TOLD[outcome.state];
    return h("div", { class: `outcome edge-${tone}`, role: "status", "data-state": outcome.state },
      h("div", {},
        h("span", { class: `chip tone-${tone}` }, word),
        outcome.label && h("b", {}, ` ${outcome.label}`),
        outcome.time && h("span", { class: "dim" }, ` ${outcome.time}`)),
      outcome.text && h("p", {}, outcome.text),
      outcome.remedy && qm.remedy(outcome.remedy));
  };

  // The operator's name is asked for once for a page; every form shows whose name it will be signed with.
  let renaming = false;
  const rename = () => { renaming = true; window.dispatchEvent(new Event("qm:operator")); };

  qm.operatorField = () => {
    const name = qm.operator();
    if (name && !renaming) {
      return h("p", { class: "signed", key: "signed" },
        "Signed ", h("b", {}, name), " ", h("button", { type: "button", class: "link", onclick: rename }, "change"));
    }
    return h("label", { key: "operator" }, "Your name", h("input", {
      name: "operator", autocomplete: "off", maxlength: 60, placeholder: "signs every command", value: name,
    }));
  };

  // Takes the name from a form that asked for it; returns the name that signs.
  qm.takeOperator = (form) => {
    const field = form.elements.namedItem("operator");
    if (field) {
      renaming = false;
      if (field.value.trim()) qm.setOperator(field.value);
    }
    return qm.operator();
  };
})();
