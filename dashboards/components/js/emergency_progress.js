// A begun emergency, symbol by symbol until flat; it stays on the page because the book stays halted.
export function render(ctx) {
  const { h } = qm;

  const line = (each) =>
    h("li", { key: each.symbol || "all" },
      h("b", {}, each.symbol || "all"),
      h("span", { class: `chip tone-${each.tone}` }, each.word),
      h("span", { class: "dim" }, each.detail));

  const draw = ({ progress }) => progress &&
    h("section", {
      class: `panel emergency-progress ${progress.done ? "done" : "running"}`,
      "aria-label": "Emergency", role: "status", "aria-live": "polite",
    },
      h("div", { class: "lead" },
        h("h2", {}, "Emergency Liquidate & Halt"),
        h("p", { class: "headline" }, progress.headline),
        h("p", { class: "dim" }, progress.who),
        progress.detail && h("p", {}, progress.detail)),
      h("ul", {}, progress.lines.map(line)));

  return qm.mount(ctx, draw).host;
}
