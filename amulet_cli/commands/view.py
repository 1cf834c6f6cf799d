"""`amulet view`: results in the browser, followed while sweeps write them."""

import os
import sys
import time
import webbrowser

from amulet_cli.base.console import err, out
from amulet_cli.base.errors import INTERRUPTED, UsageError
from amulet_cli.base.flags import FOLDERS, CommandLine


def command_line() -> CommandLine:
    """Folders, and where the page is served."""
    return CommandLine(
        """
        amulet view [FOLDER ...]

        Shows every run in the folders (./outputs if none is given) on a page in the browser: filter, sort, compare,
        open figures, evidence and logs, and follow sweeps while they run. Prints the page's address; Ctrl-C ends it.

        Options:
        --port N   where the page is served on this machine; a free port if none is given
        --open     opens the browser; this is so on a terminal of this machine
        --no-open  only prints the address

        Examples:
        amulet view  everything in ./outputs
        amulet view outputs/census --port 8765 --no-open  on a server; at home: ssh -L 8765:127.0.0.1:8765 server

        Nothing leaves this machine: the page is served on 127.0.0.1 alone, reads results and changes nothing.
        """,
        words=(FOLDERS,),
    )


def main(words: list[str]) -> int:
    """Serve until Ctrl-C."""
    from amulet_cli.views.viewer.live import Live
    from amulet_cli.views.viewer.server import Server

    folders, asked = command_line().parse(words)
    port = asked.get("--port", "0")
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UsageError(f"`--port` must be a number from 0 to 65535, got {port}")
    if {"--open", "--no-open"} <= asked.keys():
        raise UsageError("`--open` does not go with `--no-open`")
    server = Server(Live(folders or ["outputs"]), int(port))
    server.start()
    try:
        out.print(server.address, soft_wrap=True)
        err.print("[dim]Ctrl-C ends the viewer[/]")
        here = sys.stdout.isatty() and "SSH_CONNECTION" not in os.environ
        if "--open" in asked or (here and "--no-open" not in asked):
            webbrowser.open(server.address)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        err.print("The viewer has ended.")
        return INTERRUPTED
    finally:
        server.stop()
