// What holds trading back or marks the session; one line, kept even when there is nothing to say.
export function render(ctx) {
  const { h } = qm;
  return qm.mount(ctx, (view) =>
    h("div", { class: "notices" },
      view.items.length === 0 && h("span", { class: "quiet" }, "No holds, no warnings."),
      view.items.map((item) => h(item.banner ? "div" : "span", {
        class: `notice tone-${item.tone} ${item.banner ? "banner" : ""}`, key: item.text,
        role: item.banner ? "alert" : false,
      },
        h("b", {}, item.text),
        item.detail && h("span", {}, `: ${item.detail}`),
        item.remedy && qm.remedy(item.remedy))))).host;
}
