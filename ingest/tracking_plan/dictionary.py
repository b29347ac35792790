"""The plan as a data dictionary: Markdown and HTML to read, a workbook for the business side; headings Chinese and English."""

from __future__ import annotations

import html
import json
from pathlib import Path

from cdp.tracking_plan import Event, Plan, Property, walk

EVENT_HEADINGS = (
    ("event", "事件"),
    ("中文名", "Chinese name"),
    ("type", "类型"),
    ("status", "状态"),
    ("version", "版本"),
    ("description", "说明"),
    ("why", "业务问题"),
    ("sources", "来源"),
    ("where", "页面"),
    ("call_names", "页面名称"),
    ("owner", "负责人"),
    ("purpose", "同意用途"),
)
PROPERTY_HEADINGS = (
    ("event", "事件"),
    ("property", "属性"),
    ("中文名", "Chinese name"),
    ("type", "类型"),
    ("required", "必填"),
    ("values", "允许值"),
    ("pattern", "格式"),
    ("min", "最小值"),
    ("max", "最大值"),
    ("max_length", "最大长度"),
    ("unit", "单位"),
    ("pii", "个人信息"),
    ("on_violation", "违规处理"),
    ("example", "示例"),
    ("description", "说明"),
)


def event_row(event: Event) -> list[str]:
    """The cells of an event, in the order of EVENT_HEADINGS."""
    return [
        event.name,
        event.label_zh,
        event.type,
        event.status,
        str(event.version),
        event.description,
        event.why,
        ", ".join(event.sources),
        ", ".join(event.where),
        ", ".join(event.call_names),
        event.owner,
        event.purpose,
    ]


def property_rows(event: Event) -> list[list[str]]:
    """The cells of an event's properties, in the order of PROPERTY_HEADINGS; what an array holds is a row of its own."""
    return [_property_row(event, path, spec) for path, spec in walk(event.properties, with_items=True)]


def _property_row(event: Event, path: str, spec: Property) -> list[str]:
    return [
        event.name,
        path,
        spec.label_zh,
        spec.type,
        "yes" if spec.required else "",
        json.dumps(spec.values, ensure_ascii=False) if spec.values else "",
        spec.pattern or "",
        "" if spec.min is None else f"{spec.min:g}",
        "" if spec.max is None else f"{spec.max:g}",
        str(spec.max_length or ""),
        spec.unit,
        spec.pii if spec.pii != "none" else "",
        spec.on_violation or "",
        "" if spec.example is None else json.dumps(spec.example, ensure_ascii=False),
        spec.description,
    ]


def headings(pairs: tuple[tuple[str, str], ...]) -> list[str]:
    """`event 事件` ...: what a reader sees; the first word is what an import goes by."""
    return [f"{first} {second}" for first, second in pairs]


def markdown(plan: Plan) -> str:
    """The dictionary as Markdown: a table of events, then a section each."""
    parts = [f"# Data dictionary 数据字典: {plan.settings.name}", plan.settings.description]
    events = [e for _, e in sorted(plan.events.items(), key=lambda item: item[1].name)]
    parts.append(_table(["event 事件", "中文名 Chinese name", "status 状态", "description 说明"],
                        [[f"[{e.name}](#{_anchor(e.name)})", e.label_zh, e.status, e.description] for e in events]))  # fmt: skip
    for event in events:
        parts.append(f"## {event.name}" + (f" {event.label_zh}" if event.label_zh else ""))
        said = list(zip(headings(EVENT_HEADINGS), event_row(event), strict=True))[2:]
        parts.append("\n".join(f"* **{head}**: {_cell(cell)}" for head, cell in said if cell))
        rows = property_rows(event)
        if rows:
            used = [n for n in range(1, len(PROPERTY_HEADINGS)) if any(row[n] for row in rows)]
            heads = headings(PROPERTY_HEADINGS)
            parts.append(_table([heads[n] for n in used], [[row[n] for n in used] for row in rows]))
    return "\n\n".join(parts) + "\n"


def web_page(plan: Plan) -> str:
    """The dictionary as one HTML page without anything from outside; a field filters the events."""
    body = [f"<h1>Data dictionary 数据字典: {html.escape(plan.settings.name)}</h1>",
            f"<p>{html.escape(plan.settings.description)}</p>",
            '<input id="find" placeholder="find 查找" aria-label="find 查找">']  # fmt: skip
    for _, event in sorted(plan.events.items(), key=lambda item: item[1].name):
        said = list(zip(headings(EVENT_HEADINGS), event_row(event), strict=True))[2:]
        listed = "".join(f"<dt>{html.escape(h)}</dt><dd>{html.escape(c)}</dd>" for h, c in said if c)
        rows = property_rows(event)
        table = ""
        if rows:
            used = [n for n in range(1, len(PROPERTY_HEADINGS)) if any(row[n] for row in rows)]
            heads = headings(PROPERTY_HEADINGS)
            head = "".join(f"<th>{html.escape(heads[n])}</th>" for n in used)
            lines = "".join("<tr>" + "".join(f"<td>{html.escape(r[n])}</td>" for n in used) + "</tr>" for r in rows)
            table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
        title = f"{html.escape(event.name)} {html.escape(event.label_zh)}".strip()
        body.append(f'<section id="{_anchor(event.name)}"><h2>{title}</h2><dl>{listed}</dl>{table}</section>')
    return _PAGE.replace("{title}", html.escape(plan.settings.name)).replace("{body}", "\n".join(body))


def workbook(plan: Plan, path: Path) -> None:
    """The dictionary as .xlsx: a sheet of events and one of properties; `cdp tracking import` reads it back."""
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    ordered = [e for _, e in sorted(plan.events.items(), key=lambda item: item[1].name)]
    sheets = (
        ("events 事件", EVENT_HEADINGS, [event_row(e) for e in ordered]),
        ("properties 属性", PROPERTY_HEADINGS, [r for e in ordered for r in property_rows(e)]),
    )
    for number, (title, pairs, rows) in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet()
        sheet.title = title
        sheet.append(headings(pairs))
        for row in rows:
            sheet.append(row)
            for cell in sheet[sheet.max_row]:
                cell.data_type = "s"  # a text that begins with = is no formula
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for position, (first, _) in enumerate(pairs, 1):
            sheet.column_dimensions[get_column_letter(position)].width = 48 if first in ("description", "why") else 18
        sheet.freeze_panes = "B2"
        sheet.auto_filter.ref = sheet.dimensions
    book.save(path)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _anchor(name: str) -> str:
    return "".join(c for c in name.lower().replace(" ", "-") if c.isalnum() or c == "-")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
h2 { margin: 2em 0 .3em; border-top: 1px solid #ddd; padding-top: 1em }
dl { display: grid; grid-template-columns: 12em 1fr; gap: .1em 1em; margin: 0 0 1em } dt { color: #666 } dd { margin: 0 }
table { border-collapse: collapse; width: 100%; font-size: 13px } th, td { border: 1px solid #ddd; padding: .3em .5em; text-align: left }
th { background: #f5f5f5 } input { font: inherit; padding: .4em; width: 20em }
</style></head><body>
{body}
<script>
document.getElementById("find").addEventListener("input", function (e) {
  var wanted = e.target.value.toLowerCase();
  document.querySelectorAll("section").forEach(function (s) { s.hidden = !s.textContent.toLowerCase().includes(wanted); });
});
</script></body></html>
"""
