// Open alerts, gravest first, each with its remedy.
export function render(ctx) {
  const { h } = qm;

  const item = (alert) =>
    h("li", { key: alert.key, class: `edge-${alert.tone}` },
      h("div", {}, h("span", { class: `chip tone-${alert.tone}` }, alert.priority), h("b", {}, ` ${alert.kind}`)),
      h("p", {}, alert.text),
      alert.remedy && qm.remedy(alert.remedy));

  const draw = ({ items, note, more, empty }) =>
    h("section", { class: "panel", "aria-label": "Alerts" },
      h("header", {},
        h("h2", {}, "Alerts"),
        h("span", { class: "note" }, note)),
      items.length === 0 && h("p", { class: "empty" }, empty),
      h("ul", { class: "alerts", "aria-live": "polite" }, items.map(item)),
      more && h("p", { class: "more" }, more));

  return qm.mount(ctx, draw).host;
}
