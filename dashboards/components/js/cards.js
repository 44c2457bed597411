// Account cards; those with a limit carry a bar of how much of it is used.
export function render(ctx) {
  const { h } = qm;
  const LONG = 13; // characters; a figure of more is written smaller, so that none is cut off

  const meter = (card) =>
    h("div", {
      class: `meter tone-${card.bar_tone}`, role: "meter", "aria-label": card.label,
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(card.pct),
    }, h("i", { style: `width:${card.pct}%` }));

  const draw = ({ items }) =>
    h("div", { class: "cards" }, items.map((card) =>
      h("div", { class: `card ${qm.doubt(card.mark)}`, key: card.label },
        h("div", { class: "caption" }, card.label, qm.tag(card.mark)),
        h("div", { class: "figure" },
          h("span", { class: `value ${card.value.length > LONG ? "long" : ""} tone-${card.tone}` }, card.value),
          card.unit && h("span", { class: "unit" }, card.unit)),
        card.pct === null
          ? h("div", { class: "note" }, card.note)
          : h("div", { class: "note with-meter" }, meter(card), h("span", {}, card.note)))));

  return qm.mount(ctx, draw).host;
}
