// Any table: rows keep their identity while they move; a row's buttons open a form of the command desk.
export function render(ctx) {
  const { h } = qm;
  const classes = (...names) => names.filter(Boolean).join(" ");

  const body = (cell) => {
    if (typeof cell === "string") return cell;
    if (cell.pct !== undefined) {
      return h("span", { class: `meter tone-${cell.tone || "plain"}` }, h("i", { style: `width:${cell.pct}%` }));
    }
    if (!cell.chip) return cell.text;
    return h("span", { class: classes("chip", `tone-${cell.tone}`, cell.text.length > 20 && "long") }, cell.text);
  };

  const shade = (cell) =>
    typeof cell === "string" || cell.chip ? "" : classes(cell.tone && `tone-${cell.tone}`, cell.strong && "strong");

  const data = (cell, column) =>
    h("td", {
      class: classes(column.align, column.wide_only && "wide", column.grow && "grow", shade(cell)),
      title: cell.hint || false,
    }, body(cell));

  const actions = (row) =>
    h("td", { class: "actions" }, row.actions.map((each) =>
      h("button", {
        type: "button", key: each.form, class: "mini", "aria-label": `${each.label} ${each.symbol}`,
        onclick: () => qm.open(each.form, each.value),
      }, each.label)));

  const line = (view, row, acting) => [
    h("tr", { key: row.key, class: row.tone ? `row-${row.tone}` : false },
      row.cells.map((cell, n) => data(cell, view.columns[n])),
      acting && actions(row)),
    row.below && h("tr", { key: `${row.key}/below`, class: "below" },
      h("td", { colspan: view.columns.length }, row.below)),
  ];

  const head = (column) =>
    h("th", {
      class: classes(column.align, column.wide_only && "wide"), title: column.hint || false, scope: "col",
    }, column.label);

  const grid = (view) => {
    const acting = view.rows.some((row) => row.actions.length > 0);
    return h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {},
        view.columns.map(head),
        acting && h("th", { class: "actions", "aria-label": "Actions" }))),
      h("tbody", {}, view.rows.map((row) => line(view, row, acting)))));
  };

  const draw = (view) =>
    h("section", { class: `panel ${qm.doubt(view.mark)}`, "aria-label": view.title },
      h("header", {},
        h("h2", {}, view.title),
        qm.tag(view.mark),
        h("span", { class: `note tone-${view.note_tone || "dim"}` }, view.note)),
      view.rows.length === 0 ? h("p", { class: "empty" }, view.empty) : grid(view),
      view.more > 0 && h("p", { class: "more" }, `${view.more}${view.at_least ? " or more" : ""} older not shown`));

  return qm.mount(ctx, draw).host;
}
