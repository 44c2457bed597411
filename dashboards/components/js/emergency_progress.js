// A begun emergency, symbol by symbol until flat; it stays on the page because the book stays halted.
export function render(ctx) {
  const { h } = qm;
  return qm.mount(ctx, ({ progress }) => progress && h("section", {
    class: `panel emergency-progress ${progress.done ? "done" : "running"}`, "aria-label": "Emergency", role: "status", "aria-live": "polite" },
    h("div", { class: "lead" }, h("h2", {}, "Emergency Liquidate & Halt"), h("p", { class: "headline" }, progress.headline),
      h("p", { class: "dim" }, progress.who), progress.detail && h("p", {}, progress.detail)),
    h("ul", {}, progress.lines.map((line) => h("li", { key: line.symbol || "all" },
      h("b", {}, line.symbol || "all"), h("span", { class: `chip tone-${line.tone}` }, line.word), h("span", { class: "dim" }, line.detail)))))).host;
}
