"""A bit of a file turned, or the file cut: nobody may take it for what was written."""

import contextlib
import io
import random

from tests.helpers.torture.common import SAME, TINY, Failure, Tried, empty_folder


def changed_bits(count: int, seed: int) -> Tried:
    """Of results, their evidence and configuration, and of stored models."""
    from amulet_cli.cli import main
    from amulet_cli.results.reading import find_results, is_complete
    from amulet_cli.results.store import DiskStore

    draw, lost = random.Random(seed), list[Failure]()
    out = io.StringIO()
    with empty_folder() as folder, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if main(["run", *TINY]) != 0:
            raise RuntimeError("the run that is to be damaged failed")
        [known] = find_results([folder / "outputs"])
        store = DiskStore(folder / "outputs" / "models")
        files = [known.folder / name for name in (*SAME, "config.yaml", "metrics.json", "status.json")]
        models = sorted(store.folder.glob("*.safetensors"))
        for _ in range(count):
            path = draw.choice([*files, *models])
            content, place = path.read_bytes(), draw.randrange(path.stat().st_size)
            cut = draw.random() < 0.2
            bit = 1 << draw.randrange(8)
            other = content[:place] if cut else content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
            path.write_bytes(other)
            how = f"{path.name}: {'cut at' if cut else f'bit {bit} of'} byte {place}"
            try:
                if path in models:
                    believed = store.load(path.stem) is not None
                else:
                    [found] = find_results([known.folder])
                    believed = is_complete(known.folder, known.config) and found != known
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                lost.append((f"{type(error).__name__}: {error}", how))
                believed = False
            if believed:
                lost.append(("believed", how))
            path.write_bytes(content)
    return Tried(count, lost)
