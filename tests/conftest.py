"""What every test shares: one thread, a cache of its own, a small hypothesis profile, the real data."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Read when torch is imported, here and in every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that; the tests send it to some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("ci", max_examples=20, deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the data cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMULET_DATA", str(tmp_path_factory.mktemp("data-cache")))
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """One torch thread, whatever the test before has set; tests that do without torch stay without."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data sets that AMULET_TEST_DATA names; without it the test is skipped."""
    name = os.environ.get("AMULET_TEST_DATA")
    if not name:
        pytest.skip("AMULET_TEST_DATA does not name a folder with the real data sets")
    folder = Path(name)
    if not folder.is_dir():
        pytest.fail(f"AMULET_TEST_DATA must name a folder, got {name}")
    return folder


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory while the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
