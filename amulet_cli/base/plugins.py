"""Plug-ins as the command line meets them: those that can be used, and a word on those that cannot."""

from functools import cache

from rich.text import Text

from amulet.core.plugins import Plugin, plugins
from amulet_cli.base.console import err


@cache
def loaded() -> tuple[Plugin, ...]:
    """Every plug-in that could be loaded. Any other is named on standard error, once, and stops nothing."""
    for plugin in plugins():
        if plugin.error:
            of = f" of {plugin.distribution}" if plugin.distribution else ""
            what = f"the plug-in {plugin.name}{of} cannot be loaded, what it brings is missing"
            err.print(Text(f"warning  {what}: {' '.join(plugin.error.split())}", "yellow"), soft_wrap=True)
    return tuple(plugin for plugin in plugins() if not plugin.error)
