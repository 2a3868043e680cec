"""Reports as blocks, rendered as Markdown and as one HTML page without a network.

Pictures and sounds are embedded, so that the page is one file. All text is escaped.
"""

import base64
import pathlib
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from advjax.reports import tables
from advjax.reports.tables import Table


class Heading(NamedTuple):
    """A heading; the page's own title stands for one of level 1."""

    text: str
    level: int = 2


class Picture(NamedTuple):
    """A PNG file: a link in Markdown, embedded in the page; `alt` stands for it."""

    file: pathlib.Path
    alt: str


class Caution(NamedTuple):
    """A sentence that limits what the numbers say."""

    text: str


class Html(NamedTuple):
    """A part of the page alone, already escaped."""

    text: str


class Settings(NamedTuple):
    """A table that says where numbers come from, and has none of its own."""

    table: Table


Block = Heading | Picture | Caution | Html | Settings | Table | str
"""A part of a report; a text is a paragraph."""


def as_markdown(blocks: Sequence[Block]) -> str:
    """The blocks in Markdown, with links to pictures beside it."""
    texts = []
    for block in blocks:
        match block:
            case Heading(text, level):
                texts.append(f"{'#' * level} {text}")
            case Picture(file, _):
                texts.append(f"![{file.name}]({file.name})")
            case Caution(text):
                texts.append(f"**Warning**: {text}")
            case Table():
                texts.append(tables.as_markdown(block))
            case Settings(table):
                texts.append(tables.as_markdown(table))
            case str():
                texts.append(block)
    return "\n\n".join(texts).rstrip() + "\n"


def as_page(
    title: str, blocks: Sequence[Block], *, facts: Sequence[tuple[str, str]] = ()
) -> str:
    """The blocks as a whole HTML page.

    It follows the reader's choice of light or dark, and fits phones and screens.

    Args:
        title: of the page.
        blocks: below the title.
        facts: names and values below the title, such as the command.
    """
    lines = [
        f"<div{' class=long' * (len(value) > _SHORT)}><dt>{escape(name)}</dt>"
        f"<dd>{escape(value)}</dd></div>"
        for name, value in facts
    ]
    body = "\n".join(map(_as_html, blocks))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><p class="kind">advjax</p><h1>{escape(title)}</h1>
<dl class="facts">{"".join(lines)}</dl></header>
<main>
{body}
</main>
</body>
</html>
"""


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of a file as the value of `src`; `kind` is "image/png", "audio/wav"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def card(title: str, badges: Sequence[tuple[str, str]], body: str) -> str:
    """A box with a title, as HTML.

    Args:
        title: of the box.
        badges: short texts below it, each with its kind: "good", "bad" or empty.
        body: HTML below these.
    """
    shown = "".join(
        f'<span class="badge {escape(kind)}">{escape(text)}</span>'
        for text, kind in badges
    )
    return (
        f'<article class="clip"><h3>{escape(title)}</h3>'
        f'<p class="badges">{shown}</p>{body}</article>'
    )


def side_by_side(columns: Sequence[tuple[str, str, str]]) -> str:
    """Columns with a name, a remark and HTML each; one below another on a phone."""
    figures = (
        f"<figure><figcaption><b>{escape(name)}</b> <span>{escape(text)}</span>"
        f"</figcaption>{body}</figure>"
        for name, text, body in columns
    )
    return f'<div class="trio">{"".join(figures)}</div>'


def below(scales: str) -> str:
    """A line of HTML below columns; empty without any."""
    return f'<div class="scales">{scales}</div>' if scales else ""


def player(wav: bytes, name: str) -> str:
    """A player of an embedded WAV, as HTML."""
    return (
        f'<audio controls preload="metadata" aria-label="{escape(name)}" '
        f'src="{data_uri(wav, "audio/wav")}"></audio>'
    )


def plot(
    png: bytes,
    alt: str,
    *,
    seconds: Sequence[tuple[float, str]],
    hz: Sequence[tuple[float, str]],
) -> str:
    """A time-frequency picture with its axes, as HTML.

    Args:
        png: the bare picture.
        alt: text in place of the picture.
        seconds: ticks as shares of the width and their texts.
        hz: ticks as shares of the height and their texts.
    """
    return (
        f'<div class="plot"><div class="hz" aria-hidden="true">'
        f"{_ticks(hz, 'bottom', 'Hz')}</div>"
        f'<img src="{data_uri(png, "image/png")}" alt="{escape(alt)}">'
        f'<div class="s" aria-hidden="true">{_ticks(seconds, "left", "s")}</div></div>'
    )


def _ticks(ticks: Sequence[tuple[float, str]], side: str, unit: str) -> str:
    """Texts at shares of an axis; the last one has the unit."""
    return "".join(
        f'<span style="{side}:{share:.2%}">{escape(text)}{f" {unit}" * last}</span>'
        for share, text, last in ((*tick, tick == max(ticks)) for tick in ticks)
    )


def scale(colours: Sequence[str], low: str, high: str) -> str:
    """A scale of colours between two texts, as HTML."""
    return (
        f'<span class="scale">{escape(low)}<span style="background:linear-gradient('
        f'90deg,{",".join(colours)})"></span>{escape(high)}</span>'
    )


def _as_html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return "" if level == 1 else f"<h{level}>{escape(text)}</h{level}>"
        case Picture(file, alt):
            source = data_uri(file.read_bytes(), "image/png")
            shown = f'<img src="{source}" alt="{escape(alt)}">'
            return f'<div class="wide paper">{shown}</div>'
        case Caution(text):
            return f'<p class="caution"><b>Warning</b> {escape(text)}</p>'
        case Html(text):
            return text
        case Table():
            return tables.as_html(block)
        case Settings(table):
            return tables.as_html(table)
    return f"<p>{escape(block)}</p>"


_SHORT = 24
"""Letters of a value that fits into a column."""
_STYLE = """
:root{color-scheme:light dark;--ink:#1d2126;--soft:#5d6772;--paper:#f6f6f3;
--card:#fff;--line:#dddfe3;--accent:#00609a;--good:#0b6b3a;--good-back:#dff3e7;
--bad:#a3271c;--bad-back:#fbe5e2;--caution:#7a4b00;--caution-back:#fdf0d5}
@media(prefers-color-scheme:dark){:root{--ink:#e7e9ec;--soft:#a2abb5;--paper:#121417;
--card:#1b1e22;--line:#333940;--accent:#6fbdf0;--good:#86dfac;--good-back:#143524;
--bad:#ffaea4;--bad-back:#44201c;--caution:#f0c674;--caution-back:#3a2d12}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main{max-width:76rem;margin:0 auto;padding:0 clamp(1rem,3vw,2.5rem)}
header{padding-top:2rem}
main{padding-bottom:4rem}
.kind{margin:0;color:var(--accent);font-weight:700;letter-spacing:.08em}
h1{margin:.2rem 0 1rem;font-size:clamp(1.5rem,4.5vw,2.3rem);line-height:1.15;
text-wrap:balance;overflow-wrap:anywhere}
h2{margin:2.6rem 0 .8rem;font-size:1.35rem;overflow-wrap:anywhere}
h3{margin:0;font-size:1.05rem;overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));
gap:.5rem 1.5rem;margin:0 0 1.5rem}
.facts .long{grid-column:1/-1}
dt,.note,figcaption span{color:var(--soft);font-size:.82rem}
dd{margin:0;overflow-wrap:anywhere}
.facts .long dd{font:.82rem/1.5 ui-monospace,Consolas,monospace}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);
border-radius:10px}
.paper{background:#fff;padding:.8rem;margin:1rem 0}
.paper img{display:block;max-width:min(100%,52rem);min-width:34rem;margin:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;
font-size:.92rem}
th,td{padding:.5rem .8rem;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
th{color:var(--soft);font-weight:600;font-size:.82rem;vertical-align:bottom}
.number{text-align:right;white-space:nowrap}
td small{display:block;color:var(--soft)}
.notes{margin:.6rem 0 0;padding-left:1.1rem;color:var(--soft);font-size:.82rem}
.caution{margin:1rem 0;padding:.7rem 1rem;border-radius:10px;color:var(--caution);
background:var(--caution-back)}
.clip{margin:1rem 0;padding:1rem;background:var(--card);border:1px solid var(--line);
border-radius:10px}
.badges{display:flex;flex-wrap:wrap;gap:.4rem;margin:.5rem 0 .9rem}
.badge{padding:.12rem .6rem;border-radius:99px;border:1px solid var(--line);
font-size:.85rem;overflow-wrap:anywhere}
.good{color:var(--good);background:var(--good-back);border-color:transparent}
.bad{color:var(--bad);background:var(--bad-back);border-color:transparent}
.trio{display:grid;gap:1.2rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr))}
figure{margin:0;min-width:0}
figcaption{margin-bottom:.3rem;display:flex;flex-wrap:wrap;gap:0 .5rem;
align-items:baseline;overflow-wrap:anywhere}
.plot{display:grid;grid-template-columns:3.7rem 1fr;grid-template-rows:11rem 1.5rem;
font-size:.72rem;color:var(--soft);margin-bottom:.6rem}
.plot img{width:100%;height:100%;border-radius:4px}
.hz,.s{position:relative}
.hz span{position:absolute;right:.4rem;transform:translateY(50%);white-space:nowrap}
.s{grid-column:2}
.s span{position:absolute;top:.2rem;transform:translateX(-50%);white-space:nowrap}
.s span:first-child{transform:none}
.s span:last-child{transform:translateX(-70%)}
audio{display:block;width:100%;height:2.5rem}
.scales{display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin-top:.8rem;
font-size:.78rem;color:var(--soft)}
.scale{display:flex;gap:.5rem;align-items:center}
.scale span{width:8rem;height:.6rem;border-radius:3px}
"""
