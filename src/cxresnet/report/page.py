"""From views to one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import functools
import io
from importlib.resources import files

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from cxresnet import DISCLAIMER, __version__
from cxresnet.evaluate.red_flags import name_red_flags
from cxresnet.metrics.estimate import format_estimate
from cxresnet.report import formatting


@functools.cache
def _build_environment() -> Environment:
    """Build the templates' environment: all is escaped, and a missing name is an error."""
    environment = Environment(
        loader=PackageLoader("cxresnet.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "red_flag_heading": name_red_flags,
        "bytes": formatting.format_bytes,
        "count": formatting.format_count,
        "decimal": formatting.format_decimal,
        "decimal_estimate": format_estimate,
        "decimal_interval": formatting.format_decimal_interval,
        "difference": formatting.format_difference,
        "percent": formatting.format_percent,
        "percent_estimate": formatting.format_percent_estimate,
        "percent_interval": formatting.format_percent_interval,
        "ratio": formatting.format_ratio,
        "ratio_interval": formatting.format_ratio_interval,
        "share": formatting.format_share,
    }
    return environment


def render_page(template: str, *, title: str, **content: object) -> str:
    """Render a page.

    Args:
        template: Name of the template.
        title: Of the page; escaped, as is every text of `content`.
        content: What the template shows.

    Returns:
        The whole page.
    """
    style = (files("cxresnet.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return (
        _build_environment()
        .get_template(template)
        .render(
            title=title,
            style=Markup(style),  # noqa: S704  our own file, nothing of the data
            disclaimer=DISCLAIMER,
            version=__version__,
            **content,
        )
    )


# Arrays as pictures inside the page: `data:` addresses, so that nothing is fetched.


def build_data_uri(pixels: NDArray[np.uint8], *, largest_side_px: int) -> str:
    """Encode a picture as PNG in a `data:` address.

    Args:
        pixels: (row, column) grey, or (row, column, 3) RGB.
        largest_side_px: A larger picture is reduced to this side, so that the page stays small.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((largest_side_px, largest_side_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def paint_outline(pixels: NDArray[np.uint8], outline: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint an outline in white on a grey or RGB picture; the picture given stays as it is."""
    painted = pixels.copy()
    painted[outline] = 255
    return painted
