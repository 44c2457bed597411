// The bar that is always visible: environment, trading state, health bottom-up, phase, clock and age of the data.
export function render(ctx) {
  const { h } = qm;

  const layer = (each, n) => [
    n > 0 && h("span", { class: "then", "aria-hidden": "true" }, "›"),
    h("div", { class: `layer tone-${each.tone}`, title: each.detail, key: each.name },
      h("div", { class: "caption" }, each.name),
      h("div", { class: "word" }, h("span", { class: "dot", "aria-hidden": "true" }), each.word)),
  ];

  const badge = ({ environment, book }) =>
    h("div", { class: `badge env-${environment.kind}`, title: environment.detail },
      h("div", { class: "env" }, environment.text),
      h("div", { class: "book" }, book));

  const state = ({ text, tone, why }) =>
    h("div", { class: `state fill-${tone}`, role: "status", "aria-live": "assertive", id: "trading-state" },
      h("div", { class: "caption" }, "Trading"),
      h("div", { class: "shown" }, text),
      why && h("div", { class: "why" }, why));

  const when = ({ phase, clock }, age) =>
    h("div", { class: "when" },
      h("div", { class: "phase" },
        phase.text,
        phase.progress && h("span", { class: "dim" }, ` · ${phase.progress}`)),
      h("div", { class: "clock" }, clock.time),
      h("div", { class: "dim" },
        clock.date,
        clock.replay && h("span", { class: "tag" }, "replay"),
        clock.date && " · ",
        h("span", { class: `tone-${age.tone}` }, age.text)));

  const draw = (view) => {
    qm.setTitle(view.title);
    qm.lastState(view.state.text);
    // What the parts of the page that are no components go by: the stripe, and the charts' marks and empty words.
    Object.assign(document.documentElement.dataset, {
      environment: view.environment.kind,
      mark: view.mark,
      equity: view.charts.equity ? "some" : "none",
      trades: view.charts.trades ? "some" : "none",
    });
    return h("div", { class: "bar" },
      badge(view),
      state(view.state),
      h("div", { class: "layers", role: "group", "aria-label": "Health, bottom-up" }, view.layers.map(layer)),
      when(view, qm.parse(ctx.model.age) || { text: "", tone: "dim" }));
  };

  return qm.mount(ctx, draw, ["age"]).host;
}
