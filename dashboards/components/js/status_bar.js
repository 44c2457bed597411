// The bar that is always visible: environment, trading state, health bottom-up, phase, clock and age of the data.
export function render(ctx) {
  const { h } = qm;

  const layer = (each, n) => [
    n > 0 && h("span", { class: "then", "aria-hidden": "true" }, "›"),
    h("div", { class: `layer tone-${each.tone}`, title: each.detail, key: each.name },
      h("div", { class: "caption" }, each.name),
      h("div", { class: "word" }, h("span", { class: "dot", "aria-hidden": "true" }), each.word)),
  ];

  const draw = (view) => {
    if (!view) return null;
    document.title = view.title;
    qm.lastState(view.state.text);
    // What the parts of the page that are no components go by: the stripe, and the charts' marks and empty words.
    Object.assign(document.documentElement.dataset, { environment: view.environment.kind, mark: view.mark,
      equity: view.charts.equity ? "some" : "none", trades: view.charts.trades ? "some" : "none" });
    const age = qm.parse(ctx.model.age) || { text: "", tone: "dim" };
    return h("div", { class: "bar" },
      h("div", { class: `badge env-${view.environment.kind}`, title: view.environment.detail },
        h("div", { class: "env" }, view.environment.text), h("div", { class: "book" }, view.book)),
      h("div", { class: `state fill-${view.state.tone}`, role: "status", "aria-live": "assertive", id: "trading-state" },
        h("div", { class: "caption" }, "Trading"),
        h("div", { class: "shown" }, view.state.text),
        view.state.why && h("div", { class: "why" }, view.state.why)),
      h("div", { class: "layers", role: "group", "aria-label": "Health, bottom-up" }, view.layers.map(layer)),
      h("div", { class: "when" },
        h("div", { class: "phase" }, view.phase.text, view.phase.progress && h("span", { class: "dim" }, ` · ${view.phase.progress}`)),
        h("div", { class: "clock" }, view.clock.time),
        h("div", { class: "dim" }, view.clock.date, view.clock.replay && h("span", { class: "tag" }, "replay"),
          view.clock.date && " · ", h("span", { class: `tone-${age.tone}` }, age.text))));
  };

  return qm.mount(ctx, draw, ["age"]).host;
}
