"""The templates of pages and the files beside them."""

from importlib.resources import files
from typing import Any


def template(name: str) -> Any:
    """A template of jinja2 by the name of its file: escapes what is put in, and knows no undefined name."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def asset(name: str) -> str:
    """The text of a file beside the templates."""
    return (files("amulet_cli.views.html") / "templates" / name).read_text(encoding="utf-8")
