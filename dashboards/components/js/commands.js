// How a command that was given is told about, wherever it was given. Loaded once, after qm.js.
(() => {
  const { h } = qm;

  // The outcome of `sent` among the results in `view`; without one, how long it has been waited for.
  qm.outcomeOf = (view, sent) => {
    const found = view.results.find((each) => each.command_id === sent.command_id);
    if (found) return found;
    const waited = (performance.now() - sent.at) / 1000;
    if (waited < 2) return { ...sent, state: "sending", text: "Sending…", remedy: "" };
    return { ...sent, state: "silent", text: `The page's server has not answered for ${Math.floor(waited)} s.`,
      remedy: sent.name === "emergency" ? "In a terminal: qm emergency" : "Wait, or look at qm status before giving it again." };
  };

  const TONES = { accepted: "ok", refused: "bad", sending: "info", silent: "bad", undelivered: "bad", unanswered: "bad", retrying: "warn" };
  const WORDS = { accepted: "Accepted", refused: "Refused", sending: "Sending", silent: "No answer", undelivered: "Not delivered",
    unanswered: "No answer", retrying: "Trying" };

  qm.outcome = (outcome) => h("div", { class: `outcome edge-${TONES[outcome.state]}`, role: "status", "data-state": outcome.state },
    h("div", {}, h("span", { class: `chip tone-${TONES[outcome.state]}` }, WORDS[outcome.state]),
      outcome.label && h("b", {}, ` ${outcome.label}`), outcome.time && h("span", { class: "dim" }, ` ${outcome.time}`)),
    outcome.text && h("p", {}, outcome.text), outcome.remedy && h("p", { class: "remedy" }, h("span", {}, "Do: "), outcome.remedy));

  qm.settled = (outcome) => ["accepted", "refused", "undelivered", "unanswered"].includes(outcome.state);

  // The operator's name is asked for once for a page; every form shows whose name it will be signed with.
  qm.operatorField = (id) => {
    const name = qm.operator();
    if (name && !qm.renaming) {
      return h("p", { class: "signed", key: "signed" }, "Signed ", h("b", {}, name), " ",
        h("button", { type: "button", class: "link", onclick: () => { qm.renaming = true; window.dispatchEvent(new Event("qm:operator")); } }, "change"));
    }
    return h("label", { key: "operator" }, "Your name", h("input", { id, name: "operator", autocomplete: "off", maxlength: 60,
      placeholder: "signs every command", value: name }));
  };
  qm.takeOperator = (form) => {
    const field = form.elements.namedItem("operator");
    if (field) { qm.renaming = false; if (field.value.trim()) qm.setOperator(field.value); }
    return qm.operator();
  };
})();
