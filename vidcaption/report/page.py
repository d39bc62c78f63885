"""A page of HTML in one file: no script, nothing fetched, and all text from outside escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from vidcaption.output.text import one_line, printable
from vidcaption.report.cases import Attention, Case
from vidcaption.report.pictures import data_uri, heat, jpeg_uri, overlay_uri, ratio, strip

_REFERENCES = 5  # shown at once; the others unfold

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; } tr { border-bottom: 1px solid #e4e4e4; }
.figures td:not(:first-child), .figures th:not(:first-child) { text-align: right;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
pre { background: #f5f5f5; padding: .8rem; white-space: pre-wrap; font-size: .85rem; }
.plot { display: block; max-width: 100%; margin: .5rem 0; }
article { border-top: 1px solid #ccc; padding: 1rem 0 .6rem; break-inside: avoid; }
article h3 { margin: .4rem 0 .2rem; font-size: 1.05rem; }
.aside, figcaption { color: #666; font-size: .85rem; } ul { margin: .2rem 0; padding-left: 1.2rem; }
.strip, .look { background-image: var(--strip); background-repeat: no-repeat;
  border-radius: 3px; }
.strip { width: 100%; background-size: 100% 100%; }
.words { display: flex; flex-wrap: wrap; gap: .6rem .4rem; margin-top: .6rem; }
.tile { margin: 0; width: 6.6rem; text-align: center; line-height: 1.2; }
.look { background-size: calc(100% * var(--frames)) 100%; }
.look img { display: block; width: 100%; height: 100%; }
.tile figcaption { color: #222; margin-top: .2rem; }
.shares { display: flex; align-items: end; gap: 1px; height: 1.1rem; margin-top: 3px; }
.shares i { flex: 1; min-height: 1px; background: #bbb; } .shares .most { background: #d94a0b; }
"""

HOW_TO_READ = (
    "A picture for each word: the frame at which the model looked most to say it, the warmer where "
    "it looked more. The colours are relative, from the word's least to its most. Where there are "
    "several frames, the bars below are the shares of each."
)


def page(title: str, sections: Iterable[str]) -> str:
    """The whole document. ``sections``: HTML."""
    return _PAGE.format(title=text(title), style=_STYLE, body="\n".join(sections))


def text(words: str) -> str:
    """One line of text from outside, safe between tags and in attributes."""
    return escape(one_line(words))


def section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{text(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(words: str) -> str:
    return f'<p class="aside">{text(words)}</p>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Names in the first column, figures in the others."""
    lines = [_row("th", head), *(_row("td", row) for row in rows)]
    return '<table class="figures">\n' + "\n".join(lines) + "\n</table>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they are."""
    return "<table>\n" + "\n".join(_row("td", row) for row in rows) + "\n</table>"


def preformatted(content: str) -> str:
    """Text of several lines, with its indentation."""
    return f"<pre>{escape(chr(10).join(map(printable, content.splitlines())))}</pre>"


def plot(png: bytes, what: str) -> str:
    """A picture with ``what`` it shows, for those who cannot see it."""
    return f'<img class="plot" src="{data_uri("image/png", png)}" alt="{text(what)}">'


def case_card(case: Case) -> str:
    """A sample's frames, what people and what the model said, and where it looked."""
    frames, shape = len(case.frames), ratio(case.frames[0])
    picture = strip(case.frames)
    score = f"score {case.said.score:.2f}"
    if case.cider is not None:
        score = f"CIDEr {case.cider:.1f}, {score}"
    tiles = "\n".join(
        _tile(word, attention, shape)
        for word, attention in zip(case.words, case.attention, strict=True)
    )
    count = "1 frame" if frames == 1 else f"{frames} frames"
    height, width = picture.shape[:2]
    return f"""\
<article style="--strip:url({jpeg_uri(picture)});--frames:{frames}">
<div class="strip" role="img" aria-label="{count} of {text(case.sample.id)}"
 style="max-width:{width}px;aspect-ratio:{width}/{height}"></div>
<h3>{text(case.said.text) or "(nothing)"}</h3>
<div class="aside">{score}; {text(case.sample.id)}, {count}</div>
{_references(case.sample.captions)}
<div class="words">
{tiles}
</div>
</article>"""


def _row(cell: str, values: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{text(value)}</{cell}>" for value in values) + "</tr>"


def _references(captions: Sequence[str]) -> str:
    items = [f"<li>{text(caption)}</li>" for caption in captions]
    shown, folded = "".join(items[:_REFERENCES]), "".join(items[_REFERENCES:])
    if folded:
        more = f"{len(captions) - _REFERENCES} more"
        folded = f"<details><summary>{more}</summary><ul>{folded}</ul></details>"
    return f"<ul>{shown}</ul>{folded}"


def _tile(word: str, attention: Attention, shape: float) -> str:
    """``attention``: (T, G, G) of one word; ``shape``: width by height of a frame."""
    shares = attention.sum((1, 2))
    most = int(shares.argmax())
    place = 100 * most / max(1, len(shares) - 1)
    bars = "".join(
        f"<i{' class=most' if i == most else ''} style=height:{height:.0f}%></i>"
        for i, height in enumerate(100 * shares / shares[most])
    )
    tip = f"{shares[most]:.0%} on frame {most + 1}"
    return (
        f'<figure class="tile"><div class="look" style="aspect-ratio:{shape:.3f};'
        f'background-position:{place:.2f}% 0">'
        f'<img src="{overlay_uri(heat(attention)[most])}" alt=""></div>'
        + (f'<div class="shares" title="{tip}">{bars}</div>' if len(shares) > 1 else "")
        + f"<figcaption>{text(word)}</figcaption></figure>"
    )
