"""How reports look: one style sheet, light, printable, readable by colour-blind people and on a phone (§17, §18)."""

from typing import Final

# Status is never told by colour alone: each has its sign and its word. The hues keep apart for the common kinds of
# colour blindness (blue-green against orange-red, with different lightness).
INK: Final = "#1b2733"
MUTED: Final = "#5b6b7b"
LINE: Final = "#d8dfe6"
PAPER: Final = "#ffffff"
WASH: Final = "#f5f7f9"
GAIN: Final = "#00766c"
LOSS: Final = "#b3361b"
ACCENT: Final = "#1f5fa8"
AMBER: Final = "#8a5a00"
VWAP: Final = "#7a5ca8"

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

CSS: Final = f"""
:root {{ color-scheme: light; }}
.qm, .qm * {{ box-sizing: border-box; }}
.qm {{ font: 15px/1.5 {FONT}; color: {INK}; background: {PAPER}; overflow-wrap: break-word; }}
main.qm {{ max-width: 1120px; margin: 0 auto; padding: 24px 24px 48px; }}
.qm h1 {{ font-size: 24px; line-height: 1.25; margin: 0; font-weight: 650; letter-spacing: -.01em; }}
.qm h2 {{ font-size: 18px; line-height: 1.3; margin: 36px 0 6px; font-weight: 650; }}
.qm h3 {{ font-size: 15px; margin: 22px 0 6px; font-weight: 650; }}
.qm p {{ margin: 6px 0 12px; max-width: 76ch; }}
.qm .muted, .qm small {{ color: {MUTED}; }}
.qm small {{ font-size: 12.5px; }}
.qm code {{ font: 12.5px/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }}
.qm .intro p {{ color: {MUTED}; font-size: 13.5px; margin: 10px 0 0; max-width: 100ch; }}
.qm header {{ display: flex; flex-wrap: wrap; gap: 4px 20px; align-items: baseline; margin-bottom: 14px; }}
.qm header .where {{ color: {MUTED}; font-size: 13.5px; }}

.qm .verdict {{ border-radius: 8px; padding: 14px 18px; color: #fff; display: flex; gap: 16px; align-items: center;
  break-inside: avoid; -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
.qm .verdict b {{ font-size: 22px; white-space: nowrap; letter-spacing: .01em; }}
.qm .verdict span {{ font-size: 15px; }}
.qm .verdict.go {{ background: {GAIN}; }}
.qm .verdict.no-go {{ background: {LOSS}; }}
.qm .verdict.incomplete {{ background: repeating-linear-gradient(135deg, #4a4437 0 14px, #57503f 14px 28px); }}
.qm ul.reasons {{ margin: 10px 0 0; padding-left: 20px; }}
.qm ul.reasons li {{ margin: 3px 0; }}

.qm .tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 10px; margin: 16px 0; }}
.qm .tile {{ border: 1px solid {LINE}; border-radius: 8px; padding: 10px 12px; background: {PAPER};
  break-inside: avoid; }}
.qm .tile .label {{ font-size: 12.5px; color: {MUTED}; display: block; }}
.qm .tile .value {{ font-size: 21px; font-weight: 620; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.qm .tile .note {{ font-size: 12.5px; color: {MUTED}; display: block; }}

.qm .scroll {{ overflow-x: auto; margin: 8px 0 14px; }}
.qm table {{ border-collapse: collapse; width: 100%; font-size: 13.5px; line-height: 1.4; }}
.qm table.fit {{ width: auto; min-width: min(100%, 560px); }}
.qm caption {{ text-align: left; color: {MUTED}; font-size: 12.5px; padding-bottom: 4px; }}
.qm th {{ text-align: left; font-weight: 600; color: {MUTED}; font-size: 12.5px; border-bottom: 1.5px solid {LINE};
  padding: 5px 10px 5px 0; vertical-align: bottom; }}
.qm td {{ border-bottom: 1px solid {LINE}; padding: 6px 10px 6px 0; vertical-align: top; }}
.qm tr:last-child td {{ border-bottom: 0; }}
.qm td.num, .qm th.num {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.qm td.id {{ overflow-wrap: anywhere;
  font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: {MUTED}; }}
.qm td.keep, .qm th.keep {{ white-space: nowrap; }}
.qm table.checks td:nth-child(2) {{ width: 33%; }}
.qm table.checks td:nth-child(3) {{ width: 33%; }}
.qm tr.flag td {{ background: #fdf3ee; }}
.qm .gain {{ color: {GAIN}; }}
.qm .loss {{ color: {LOSS}; }}
.qm .none {{ color: {MUTED}; font-style: normal; background: {WASH}; border-radius: 6px; padding: 8px 12px;
  margin: 8px 0 14px; }}

.qm .chip {{ display: inline-block; border-radius: 10px; padding: 0 9px; font-size: 12px; line-height: 20px;
  font-weight: 620; white-space: nowrap; -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
.qm .chip.pass {{ background: #e0f2ef; color: {GAIN}; }}
.qm .chip.warn {{ background: #fdf0d3; color: {AMBER}; }}
.qm .chip.fail {{ background: {LOSS}; color: #fff; }}
.qm .chip.na {{ background: #eceff2; color: {MUTED}; }}

.qm .told {{ color: {MUTED}; max-width: none; }}
.qm .checklist {{ columns: 2; column-gap: 34px; font-size: 13px; line-height: 1.35; margin: 8px 0 14px; }}
.qm .checklist h4 {{ font-size: 12.5px; color: {MUTED}; font-weight: 600; margin: 0 0 3px; break-after: avoid; }}
.qm .checklist section {{ margin: 0 0 12px; }}
.qm .checklist .line {{ display: grid; grid-template-columns: 20px minmax(0, 1.5fr) minmax(0, 1fr); gap: 0 6px;
  padding: 2px 0; border-bottom: 1px solid {LINE}; break-inside: avoid; }}
.qm .checklist .line b {{ color: {GAIN}; text-align: center; }}
.qm .checklist .line.na b, .qm .checklist .line.na span {{ color: {MUTED}; font-weight: 400; }}
.qm .checklist .line i {{ font-style: normal; color: {MUTED}; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }}
.qm .checklist .line p {{ grid-column: 2 / 4; margin: 0 0 2px; color: {INK}; }}
.qm .checklist .warn b {{ color: {AMBER}; }}
.qm .checklist .fail b {{ color: {LOSS}; }}
.qm .checklist .warn, .qm .checklist .fail {{ background: #fdf3ee; font-weight: 600; }}
.qm .checklist .warn i, .qm .checklist .fail i {{ white-space: normal; color: {INK}; }}
.qm .checklist .warn p, .qm .checklist .fail p {{ font-weight: 400; }}

.qm table.heat {{ width: auto; min-width: min(100%, 720px); }}
.qm table.heat th, .qm table.heat td {{ text-align: right; padding: 5px 8px; white-space: nowrap;
  font-variant-numeric: tabular-nums; border: 2px solid {PAPER}; border-radius: 5px; }}
.qm table.heat th {{ border-bottom-color: {PAPER}; }}
.qm table.heat th:first-child {{ text-align: left; padding-left: 0; }}
.qm table.heat td.cell {{ -webkit-print-color-adjust: exact; print-color-adjust: exact; min-width: 56px; }}
.qm table.heat td.whole {{ font-weight: 650; }}
.qm .sheet .tiles {{ grid-template-columns: repeat(auto-fit, minmax(168px, 1fr)); }}
.qm .sheet .headline .tiles {{ grid-template-columns: repeat(4, minmax(0, 1fr)); }}
.qm .sheet p.lead {{ font-size: 17px; line-height: 1.45; margin: 4px 0 14px; max-width: 88ch; }}
.qm .sheet .two > div > h3 {{ margin-top: 10px; }}
.qm .settings {{ display: flex; flex-wrap: wrap; gap: 6px; margin: 8px 0 14px; }}
.qm .settings span {{ border: 1px solid {LINE}; border-radius: 6px; padding: 1px 8px; font-size: 12.5px;
  white-space: nowrap; }}
.qm .settings b {{ font-weight: 620; }}
.qm .settings .other {{ background: #eaf1f9; border-color: #b9cfe6; -webkit-print-color-adjust: exact;
  print-color-adjust: exact; }}

.qm figure {{ margin: 10px 0 16px; break-inside: avoid; }}
.qm figure svg {{ display: block; width: 100%; height: auto; }}
.qm figcaption {{ font-size: 12.5px; color: {MUTED}; margin-top: 2px; }}
.qm .narrow {{ display: none; }}
.qm .grid {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 14px 18px; }}
.qm .grid > * {{ min-width: 0; }}
.qm .grid.wider {{ grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); }}
.qm .three {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 6px 24px; }}
.qm .three > * {{ min-width: 0; break-inside: avoid; }}
.qm .three h3 {{ margin-top: 8px; }}
.qm .card {{ border: 1px solid {LINE}; border-radius: 8px; padding: 10px 12px 6px; break-inside: avoid; }}
.qm .card .head {{ display: flex; justify-content: space-between; gap: 8px; font-weight: 620; }}
.qm .card p {{ font-size: 12.5px; color: {MUTED}; margin: 2px 0 4px; }}
.qm .card figure {{ margin: 4px 0 0; }}
.qm .two {{ display: grid; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 6px 28px; }}
.qm .two > * {{ min-width: 0; }}
.qm details {{ margin: 8px 0 14px; }}
.qm summary {{ cursor: pointer; color: {ACCENT}; font-size: 13.5px; }}
.qm pre {{ font: 12.5px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: {WASH};
  border-radius: 6px; padding: 10px 12px; white-space: pre-wrap; overflow-wrap: anywhere; }}
.qm .failure {{ border-left: 4px solid {LOSS}; padding: 2px 0 2px 14px; margin: 16px 0; }}
.qm footer {{ margin-top: 40px; border-top: 1px solid {LINE}; padding-top: 10px; color: {MUTED}; font-size: 12.5px; }}
.qm footer dl {{ display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 14px; margin: 0; }}
.qm footer dt {{ font-weight: 600; }}
.qm footer dd {{ margin: 0; overflow-wrap: anywhere; }}

@media (max-width: 640px) {{
  .qm td.text {{ min-width: 13ch; }}
  .qm td.prose {{ min-width: 34ch; }}
  .qm table.stack td.text, .qm table.stack td.prose {{ min-width: 0; }}
  main.qm {{ padding: 16px 14px 32px; }}
  .qm .checklist {{ columns: 1; }}
  .qm .verdict {{ flex-direction: column; align-items: flex-start; gap: 2px; }}
  .qm .tiles {{ grid-template-columns: repeat(2, minmax(0, 1fr)); }}
  .qm .tile .value {{ font-size: 18px; white-space: normal; overflow-wrap: anywhere; }}
  .qm .sheet .tiles, .qm .sheet .headline .tiles {{ grid-template-columns: repeat(2, minmax(0, 1fr)); }}
  .qm .sheet p.lead {{ font-size: 15.5px; }}
  .qm .wide {{ display: none; }}
  .qm .narrow {{ display: block; }}
  .qm table.stack, .qm table.stack tbody, .qm table.stack tr, .qm table.stack td {{ display: block; }}
  .qm table.stack thead {{ display: none; }}
  .qm table.stack tr {{ border: 1px solid {LINE}; border-radius: 8px; padding: 6px 10px; margin-bottom: 8px; }}
  .qm table.stack td {{ border: 0; padding: 2px 0; text-align: left; white-space: normal; }}
  .qm table.stack td:empty {{ display: none; }}
  .qm table.stack td:not([data-label]) {{ float: left; margin-right: 8px; }}
  .qm table.stack td:not([data-label]):has(.chip) {{ float: right; margin: 0 0 0 8px; }}
  .qm table.checks td:nth-child(n) {{ width: auto; }}
  .qm table.checks small {{ font-weight: 400; }}
  .qm table.stack td[data-label]::before {{ content: attr(data-label) ": "; color: {MUTED}; font-size: 12.5px; }}
  .qm table.stack td[data-label="Check"]::before, .qm table.stack td[data-label="Item"]::before {{ content: none; }}
  .qm table.stack td[data-label="Check"], .qm table.stack td[data-label="Item"] {{ font-weight: 600; }}
  .qm footer dl {{ grid-template-columns: minmax(0, 1fr); }}
}}
@media print {{
  @page {{ size: A4; margin: 14mm 12mm; }}
  main.qm {{ max-width: none; padding: 0; }}
  .qm {{ font-size: 10.5pt; }}
  .qm h2 {{ margin-top: 12pt; font-size: 12.5pt; break-after: avoid; }}
  .qm h1 {{ font-size: 16pt; }}
  .qm header {{ margin-bottom: 6pt; }}
  .qm h3 {{ break-after: avoid; }}
  .qm table {{ font-size: 8.5pt; }}
  .qm th {{ font-size: 8pt; }}
  .qm tr {{ break-inside: avoid; }}
  .qm .scroll {{ overflow: visible; }}
  .qm .grid, .qm .grid.wider {{ grid-template-columns: 1fr 1fr; }}
  .qm .three {{ grid-template-columns: 1fr 1fr 1fr; }}
  .qm .card p {{ font-size: 7.2pt; line-height: 1.3; }}
  .qm .tiles {{ grid-template-columns: repeat(4, 1fr); }}
  .qm .tile .value {{ font-size: 14pt; }}
  .qm .sheet .two {{ grid-template-columns: 1fr 1fr; }}
  .qm .sheet .two > * {{ break-inside: avoid; }}
  .qm .sheet .two table {{ min-width: 0; width: 100%; font-size: 8pt; }}
  .qm .sheet .tiles {{ grid-template-columns: repeat(auto-fit, minmax(72pt, 1fr)); }}
  .qm .sheet .tile .note {{ font-size: 7.4pt; line-height: 1.3; }}
  .qm .sheet section > p {{ break-after: avoid; }}
  .qm .sheet .settings span {{ font-size: 8pt; }}
  .qm .sheet p.lead {{ font-size: 11.5pt; margin: 2pt 0 6pt; }}
  .qm table.heat {{ font-size: 7.6pt; }}
  .qm table.heat td.cell {{ min-width: 0; padding: 2pt 4pt; }}
  .qm table.five {{ font-size: 7.6pt; line-height: 1.25; }}
  .qm table.five td {{ padding: 2pt 6pt 2pt 0; }}
  .qm .screen {{ display: none; }}
  .qm .apart {{ break-before: page; }}
  .qm .apart > h2:first-child {{ margin-top: 0; }}
  .qm .told {{ font-size: 8pt; max-width: none; margin: 0 0 5pt; }}
  .qm .checklist {{ font-size: 7.4pt; line-height: 1.25; margin: 4pt 0; column-gap: 18pt; }}
  .qm .checklist h4 {{ font-size: 7.6pt; }}
  .qm .checklist section {{ margin-bottom: 5pt; }}
  .qm .checklist .line {{ padding: .8pt 0; grid-template-columns: 11pt minmax(0, 1.65fr) minmax(0, 1fr);
    gap: 0 3pt; }}
  .qm .verdict {{ padding: 6pt 10pt; }}
  .qm .tile {{ padding: 4pt 7pt; }}
  .qm .tiles {{ margin: 6pt 0; }}
  .qm .intro {{ display: none; }}
  .qm td {{ padding: 3pt 6pt 3pt 0; }}
  .qm details > * {{ display: block; }}
  .qm details::details-content {{ content-visibility: visible; display: block; }}
  .qm summary {{ display: none; }}
}}
"""
