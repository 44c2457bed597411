// What holds trading back or marks the session; one line, kept even when there is nothing to say.
export function render(ctx) {
  const { h } = qm;
  return qm.mount(ctx, (view) =>
    h("div", { class: "notices" },
      view.items.length === 0 && h("span", { class: "quiet" }, "No holds, no warnings."),
      view.items.map((item) => h("span", { class: `notice tone-${item.tone}`, key: item.text },
        h("b", {}, item.text), item.detail && h("span", {}, `: ${item.detail}`))))).host;
}
