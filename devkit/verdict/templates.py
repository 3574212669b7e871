"""The templates of the HTML files that reports and comparisons are."""

from __future__ import annotations

from pathlib import Path

import jinja2

# Templates, and the styles and scripts that are written into the files.
PAGE = Path(__file__).parent / "page"


def template(name: str) -> jinja2.Template:
    """A template of the folder ``page``; what it shows is escaped, and a name it lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
