"""Ctrl-C ends a run within two seconds, whatever it is doing, and leaves no process behind."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from amulet_cli.base.console import err
from amulet_cli.base.errors import INTERRUPTED

_PATIENCE = 1.0  # seconds for running work to stop by itself
_KILL_AFTER = 0.3
_before_leaving: list[Callable[[], object]] = []


@contextmanager
def before_leaving(action: Callable[[], object]) -> Iterator[None]:
    """Within this block, Ctrl-C also calls `action`, for work that runs elsewhere; it must be quick."""
    _before_leaving.append(action)
    try:
        yield
    finally:
        _before_leaving.remove(action)


@contextmanager
def prompt_end(message: str) -> Iterator[None]:
    """Within this block, Ctrl-C ends the process with exit code 130.

    Python delivers a signal only between two instructions of its own. A long computation in native code would
    delay it, so a thread watches for the signal and ends the process if the main thread does not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    over = threading.Event()
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, over, message), daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        over.set()
        _leave(message)
    finally:
        over.set()
        signal.set_wakeup_fd(previous)
        writer.close()


def _watch(reader: socket.socket, over: threading.Event, message: str) -> None:
    while data := reader.recv(64):
        if signal.SIGINT in data:
            if not over.wait(_PATIENCE):
                _leave(message)
            break
    reader.close()


def _leave(message: str) -> NoReturn:
    """End now: an exit handler might wait for a worker that no longer exists."""
    signal.signal(signal.SIGINT, signal.SIG_IGN) if threading.current_thread() is threading.main_thread() else None
    for action in _before_leaving:
        action()
    end_children()
    err.show_cursor(True)
    err.print(f"\n[yellow]interrupted[/]: {message}")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(INTERRUPTED)


def end_children() -> None:
    """End the worker processes of this one."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for child in children:
            # The resource tracker of shared memory cleans up after the workers, and then ends by itself.
            with suppress(psutil.Error):
                if "resource_tracker" not in " ".join(child.cmdline()):
                    end(child)
        children = psutil.wait_procs(children, timeout=_KILL_AFTER)[1] if end is psutil.Process.terminate else ()
