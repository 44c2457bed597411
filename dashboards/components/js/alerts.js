// Open alerts, gravest first, each with its remedy.
export function render(ctx) {
  const { h } = qm;
  return qm.mount(ctx, (view) =>
    h("section", { class: "panel", "aria-label": "Alerts" },
      h("header", {}, h("h2", {}, "Alerts"), h("span", { class: "note" }, view.items.length ? `${view.items.length} open` : "")),
      view.items.length === 0 && h("p", { class: "empty" }, view.empty),
      h("ul", { class: "alerts", "aria-live": "polite" }, view.items.map((item) =>
        h("li", { key: item.key, class: `edge-${item.tone}` },
          h("div", {}, h("span", { class: `chip tone-${item.tone}` }, item.priority), h("b", {}, ` ${item.kind}`)),
          h("p", {}, item.text),
          item.remedy && h("p", { class: "remedy" }, h("span", {}, "Do: "), item.remedy)))))).host;
}
