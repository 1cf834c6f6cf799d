"""Sweeps killed at random moments: what was finished stays, and they end in the bytes of an undisturbed one."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from amulet_cli.execution.launchers import is_installed
from tests.helpers.torture.common import SWEEP, TINY, Failure, Tried, complete, differences, empty_folder, ended, forked

_PROCESSES = 2
"""At once, in one output folder, with one store."""
_MATRIX = ("matrix", "seeds=2", "defenses=outlier_removal", "risks=S1,P2", *TINY)
_LAUNCHERS = {"basic": "", "joblib": "hydra_plugins.hydra_joblib_launcher", "slurm_local": "submitit", "ray": "ray"}
_PATIENCE = 300.0  # seconds for workers without their parent to end by themselves


def killed_sweeps(count: int, seed: int) -> Tried:
    """Several processes at once on one store and output folder, forked from this one, all killed together."""
    draw, lost, how = random.Random(seed), list[Failure](), f"--kills {count} --seed {seed}"
    killed = rounds = 0
    with empty_folder() as folder:
        began = time.monotonic()
        if ended(forked((*SWEEP, "output_dir=calm"), folder / "calm.log")) != 0:
            raise RuntimeError((folder / "calm.log").read_text())
        whole = time.monotonic() - began
        while killed < count:
            hurt = folder / f"hurt{rounds}"
            words = (*SWEEP, f"output_dir={hurt.name}")
            while killed < count:
                pids = [forked(words, folder / f"{number}.log") for number in range(_PROCESSES)]
                time.sleep(draw.uniform(0, 1.2) * whole)
                before = complete(hurt)
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                deaths = sum(ended(pid) == -signal.SIGKILL for pid in pids)
                killed += deaths
                lost += [(f"{path} changed", how) for path in _changed(before)]
                if not deaths:
                    break
            rounds += 1
            if (code := ended(forked(words, folder / "last.log"))) != 0:
                lost.append((f"exit code {code} in the end", how))
            lost += [(what, how) for what in differences(folder / "calm", hurt)]
    return Tried(killed, lost, f"{rounds} sweeps of 2 runs, {_PROCESSES} processes at once")


def killed_launchers(count: int, seed: int) -> Tried:
    """Fresh commands under every local launcher, and `matrix`: all killed, the command alone, or one worker alone."""
    draw, lost = random.Random(seed), list[Failure]()
    known = [name for name, module in _LAUNCHERS.items() if not module or is_installed(module)]
    ways = [*((*SWEEP, f"hydra/launcher={name}") for name in known), _MATRIX]
    killed = rounds = 0
    with empty_folder() as folder:
        for number, words in enumerate(ways):
            calm, left = f"calm{number}", -(-count // len(ways))
            began = time.monotonic()
            if _begun(words, calm).wait() != 0:
                raise RuntimeError((folder / f"{calm}.log").read_text())
            whole = time.monotonic() - began
            while left > 0:
                hurt = f"hurt{rounds}"
                deaths = 1
                while left > 0 and deaths:  # else it was done before, and the next begins in an empty folder
                    how = f"amulet {' '.join(words)}, --launchers {count} --seed {seed}, {left} left"
                    process = _begun(words, hurt)
                    time.sleep(draw.uniform(0.2, 1.0) * whole)
                    before = complete(folder / hurt)
                    deaths = _kill(draw.choice(("all", "command", "worker")), process, draw)
                    killed, left = killed + deaths, left - deaths
                    lost += [(f"{path} changed", how) for path in _changed(before)]
                if (code := _begun(words, hurt).wait()) != 0:
                    lost.append((f"exit code {code} in the end", f"amulet {' '.join(words)}"))
                lost += [(what, f"amulet {' '.join(words)}") for what in differences(folder / calm, folder / hurt)]
                rounds += 1
    return Tried(killed, lost, f"{rounds} sweeps of 2 runs under {', '.join(known)}, matrix")


def _begun(words: tuple[str, ...], folder: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "amulet_cli.cli", *words, f"output_dir={folder}"]
    with Path(f"{folder}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _kill(whom: str, process: "subprocess.Popen[bytes]", draw: random.Random) -> int:
    """How many processes were killed; afterwards none of the command's is left."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    victims = [process.pid]
    if whom == "all":
        victims += [child.pid for child in family]
    elif whom == "worker" and family:
        victims = [draw.choice(family).pid]
    killed = 0
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            if process.poll() is None or pid != process.pid:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    left = psutil.wait_procs([child for child in family if child.pid not in victims], timeout=30)[1]
    for child in [*left, *([psutil.Process(process.pid)] if process.poll() is None else [])]:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
    return killed


def _changed(before: dict[Path, bytes]) -> list[Path]:
    return [path for path, content in before.items() if not path.is_file() or path.read_bytes() != content]
