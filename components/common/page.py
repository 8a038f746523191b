"""Self-contained HTML pages: one look for every report, and everything that comes from data is escaped."""

import datetime
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

STYLE = Path(__file__).with_name("page.css")


def render(template: Path, **values: Any) -> str:
    """Fills in a Jinja template.

    Args:
        template: The template file; it has `{{ style }}` where its styles go, the filters `count`, `day`, `percent`,
            `decimal` and `signed` for numbers, and may include other files of its folder.
        values: What else it names.
    """
    import markupsafe

    style = markupsafe.Markup(STYLE.read_text(encoding="utf-8"))  # noqa: S704  a file of ours
    return _environment(template.parent).get_template(template.name).render(style=style, **values)


@functools.cache
def _environment(folder: Path) -> "jinja2.Environment":
    """Of the templates of a folder, which it keeps as it has compiled them."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "day": day, "percent": percent, "decimal": decimal, "signed": signed}
    return environment


def count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def day(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%-d %B %Y")


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def decimal(value: float) -> str:
    return f"{value:.3f}"


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
