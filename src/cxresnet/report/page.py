"""From views to one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

import functools
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cxresnet import DISCLAIMER, __version__
from cxresnet.evaluate.alarm_record import name_alarms
from cxresnet.report import words

__all__ = ["render_page"]


@functools.cache
def _build_environment() -> Environment:
    """Build the templates' world: all is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader("cxresnet.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "alarm_heading": name_alarms,
        "bytes": words.show_bytes,
        "count": words.show_count,
        "decimal": words.show_decimal,
        "decimal_range": words.show_decimal_range,
        "percent": words.show_percent,
        "percent_range": words.show_percent_range,
        "share": words.show_share,
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
