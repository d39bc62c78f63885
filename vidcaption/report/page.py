"""A page of HTML in one file: no script, nothing to fetch, all external text escaped."""

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vidcaption.output.text import counted, one_line, printable
from vidcaption.report.cases import Attention, Case
from vidcaption.report.pictures import heat, jpeg_uri, overlay_uri, ratio, strip


def render(template: str, **values: Any) -> str:
    """Renders one of ``templates``: every value becomes a line of text that is safe to show."""
    return _ENVIRONMENT.get_template(template).render(values)


def script(template: str) -> dict[str, Markup]:
    """A JavaScript template, and the policy that lets a page run only this script."""
    assert _ENVIRONMENT.loader is not None
    code = f"\n{_ENVIRONMENT.loader.get_source(_ENVIRONMENT, template)[0]}"
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return {"script": Markup(code), "policy": Markup(f"; script-src 'sha256-{digest}'")}


def card(case: Case) -> dict[str, Any]:
    """The values for the macro ``card``."""
    frames, picture = len(case.frames), strip(case.frames)
    height, width = picture.shape[:2]
    figures = [] if case.cider is None else [f"CIDEr {case.cider:.1f}"]
    if case.said.confidence is not None:
        figures.append(f"confidence {case.said.confidence:.0%}")
    return {
        "id": case.sample.id,
        "text": case.said.text,
        "references": case.references,
        "score": ", ".join([*figures, f"score {case.said.score:.2f}"]),
        "strip": jpeg_uri(picture),
        "frames": frames,
        "count": counted(frames, "frame"),
        "width": width,
        "height": height,
        "shape": f"{ratio(case.frames[0]):.3f}",
        "tiles": list(map(_tile, case.words, case.attention)),
    }


def _tile(word: str, attention: Attention) -> dict[str, Any]:
    """``attention``: (T, G, G) of one word."""
    shares = attention.sum((1, 2))
    most = int(shares.argmax())
    heights = 100 * shares / shares[most]
    return {
        "word": word,
        "overlay": overlay_uri(heat(attention)[most]),
        "place": f"{100 * most / max(1, len(shares) - 1):.2f}",  # % of the strip
        "bars": [(f"{height:.0f}", i == most) for i, height in enumerate(heights)],
        "tip": f"{shares[most]:.0%} on frame {most + 1}",
    }


def _one_line(value: Any) -> Any:
    return one_line(value) if type(value) is str else value  # not Markup, which is escaped already


def _printable_lines(text: str) -> Markup:
    """Text of several lines, with its indentation."""
    return escape("\n".join(map(printable, text.splitlines())))


_ENVIRONMENT = Environment(
    loader=PackageLoader("vidcaption.report"),
    autoescape=True,
    finalize=_one_line,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["printable_lines"] = _printable_lines
