// A book without a session, or a session that is over: what came of it and where its reports are.
export function render(ctx) {
  const { h } = qm;

  const fact = ({ label, value }) => h("div", { key: label }, h("dt", {}, label), h("dd", {}, value));

  const verdict = (each, n) =>
    h("li", { key: `${each.name}/${n}` },
      h("span", { class: `chip tone-${each.tone}` }, each.verdict),
      h("b", {}, ` ${each.name} `),
      each.detail && h("span", { class: "dim" }, each.detail));

  const draw = ({ panel }) => panel &&
    h("section", { class: "panel closing", "aria-label": panel.title },
      h("div", { class: "lead" }, h("h2", {}, panel.title), h("p", {}, panel.text)),
      panel.facts.length > 0 && h("dl", {}, panel.facts.map(fact)),
      panel.verdicts.length > 0 && h("ul", {}, panel.verdicts.map(verdict)));

  return qm.mount(ctx, draw).host;
}
