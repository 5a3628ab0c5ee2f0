"""Matplotlib figures as SVG inside a page: for light and dark themes, with a text for screen readers.

The drawing uses placeholder colours, which become CSS variables of the page. So one figure serves both themes.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, GRID, SURFACE = "#010203", "#040506", "#070809"
SERIES = [f"#0a0b{index:02x}" for index in range(8)]
"""Placeholders for the colours of the classes. Further classes use them again with another line style."""
LINE_STYLES = ("-", "--", ":", "-.")
VARIABLES = {INK: "--ink", GRID: "--grid", SURFACE: "--surface"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}
STYLE: dict[Any, Any] = {  # Any: matplotlib's types list every one of its settings
    "svg.fonttype": "none",
    "svg.hashsalt": "retina-srm",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The style of every figure of the report."""
    with matplotlib.rc_context(STYLE):
        yield


def colour(index: int) -> tuple[str, str]:
    """Colour and line style of a class."""
    return SERIES[index % len(SERIES)], LINE_STYLES[index // len(SERIES) % len(LINE_STYLES)]


def to_svg(figure: Figure, name: str, text: str) -> str:
    """Return an ``<svg>`` element.

    Args:
        figure: drawn under :func:`drawing`.
        name: unique in the page; it keeps the figures' identifiers apart.
        text: what the figure shows, for a screen reader.
    """
    stream = io.StringIO()
    with drawing():
        figure.savefig(stream, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    svg = re.sub(r'\b(id=")', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    width = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    style = f"max-width:{float(width[1]) / 72:.2f}in" if width else ""
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(text)}" style="{style}" ', 1)
