// Account cards; those with a limit carry a bar of how much of it is used.
export function render(ctx) {
  const { h } = qm;
  const card = (each) =>
    h("div", { class: `card ${qm.doubt(each.mark)}`, key: each.label },
      h("div", { class: "caption" }, each.label, each.mark && h("span", { class: `tag ${qm.doubt(each.mark)}` }, each.mark)),
      h("div", { class: "figure" }, h("span", { class: `value tone-${each.tone}` }, each.value),
        each.unit && h("span", { class: "unit" }, ` ${each.unit}`)),
      each.pct === null ? h("div", { class: "note" }, each.note) : h("div", { class: "note with-meter" },
        h("div", { class: `meter tone-${each.bar_tone}`, role: "meter", "aria-label": each.label, "aria-valuemin": 0, "aria-valuemax": 100,
          "aria-valuenow": Math.round(each.pct) }, h("i", { style: `width:${each.pct}%` })), h("span", {}, each.note)));
  return qm.mount(ctx, (view) => h("div", { class: "cards" }, view.items.map(card))).host;
}
