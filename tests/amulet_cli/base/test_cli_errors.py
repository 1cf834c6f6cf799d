"""A user's mistakes: one panel, exit code 2, nothing trained, nothing written."""

import shutil
from pathlib import Path

import pytest

from amulet import datasets
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.cli import main
from tests.helpers.cli_helpers import TINY, amulet, own_options

MISTAKES = {
    "atack=evasion_pgd": ["`atack`", "`attack=evasion_pgd`?"],
    "attack=evasion_pdg": ["`evasion_pdg`", "`attack=evasion_pgd`?", "one of", "amulet list attack"],
    "defense=adv_training defense.epsilonn=1": ["no setting `epsilonn`", "`defense.epsilon=1`?"],
    "defense=adv_training +defense.epsilonn=1": ["no setting `epsilonn`", "`defense.epsilon`?"],
    "defense=adv_training defense.epsilon=ten": ["`defense.epsilon` must be a number, got 'ten'", "where"],
    "defense=adv_training defense.epsilon=-1": ["`defense.epsilon` must satisfy", "got -1", "where"],
    "defense=adv_training defense.epsilon=": ["`defense.epsilon` must be a number, got ''"],
    "defense=adv_training defense.epsilon=true": ["`defense.epsilon` must be a number, got true"],
    "defense=adv_training defense.steps=2.5": ["`defense.steps` must be a whole number, got 2.5"],
    "defense=outlier_removal defense.percent=120": ["`defense.percent` must satisfy", "got 120"],
    "dataset=nope": ["no dataset `nope`", "one of celeba, census"],
    "dataset.encoding=half": ["`dataset.encoding` must be one of paper, full, got 'half'"],
    "dataset.limit=1": ["`dataset.limit` must satisfy", "got 1"],
    "model.hidden=128": ["`model.hidden` must be a list", "got 128"],
    "model.hidden=[]": ["`hidden` must list"],
    "model.input_shape=[3]": ["`model.input_shape`"],
    "seed=0,1": ["`seed=0,1` asks for several runs", "-m seed=0,1"],
    "seed=range(0,3)": ["asks for several runs", "-m seed=range(0,3)"],
    "seed=-1": ["`seed` must satisfy 0 <= seed, got -1"],
    "seed=0.5": ["`seed` must be a whole number, got 0.5"],
    "epochs=0": ["`epochs` must satisfy 1 <= epochs, got 0"],
    "device=tpu": ["`device` must be auto, cpu, cuda"],
    "num_threads=many": ["`num_threads` must be auto or a whole number"],
    "precision=float16": ["`precision` must be one of auto, float32, amp"],
    "augmentation=flip_corp": ["`augmentation` must be null, one of flip_crop", "`augmentation=flip_crop`?"],
    "augmentation={padding:3}": ["`augmentation` must be null, one of flip_crop, a mapping with a `_target_`"],
    "augmentation={_target_:amulet.training.augmentation.FlipCrop,pad:3}": ["`augmentation` has no setting `pad`"],
    "augmentation=flip_crop": ["`augmentation` needs images (channels, height, width), got inputs (42,)"],
    "adversary_fraction=1": ["`adversary_fraction` must satisfy 0 < adversary_fraction < 1, got 1"],
    "early_stopping={patience:0}": ["`early_stopping.patience` must satisfy"],
    "early_stopping={patiense:3}": ["no setting `patiense`", "`early_stopping.patience`?"],
    "optimizer=sgd": ["`optimizer` must be a mapping with a `_target_`, got 'sgd'"],
    "optimizer.lr=-1": ["`optimizer` cannot be built", "learning rate"],
    "optimizer.momentum=0.9": ["`optimizer` has no setting `momentum`"],
    "optimizer._target_=torch.optim.Adan": ["has no `Adan`", "torch.optim.Adam"],
    "experiment=smoke": ["`+experiment=smoke`?"],
    "+experiment=smok": ["`+experiment=smoke`?", "options of `experiment`", "amulet list experiment"],
    "+epochs=3": ["`epochs` is there already", "`epochs=3`?"],
    "+epoch=3": ["`epoch` is not a setting", "`epochs`?"],
    "~seed": ["`seed` is missing"],
    "attack={": ["`attack={` cannot be read"],
    "metric=[utility,evasoin]": ["no metric `evasoin`", "`metric=[utility,evasion]`?"],
    "metric=[]": ["`metric` must choose at least one option"],
    "adv_training": ["`adv_training` is no override", "`defense=adv_training`?"],
    "--seed 3": ["`--seed` is no flag", "`seed=..."],
    "--mutirun": ["`--mutirun` is no flag", "`--multirun`?"],
    "--config-dir nowhere": ["`--config-dir` must be a folder"],
    "--config-dir": ["`--config-dir` must be followed by"],
    "--cfg": ["`--cfg` must be followed by a value", "job, hydra, all"],
    "--resolve=yes": ["`--resolve` is a switch and has no value, got yes"],
    "--cfg=jop": ["`--cfg job`?"],
    "-m --cfg job seed=0,1": ["`--cfg` shows one run", "without `--multirun`"],
    "--info config epoch=3": ["`epoch`", "`epochs=3`?"],
    "--info nonsense": ["`--info` must be one of all, config", "got nonsense"],
    "hydra/launcher=slum": ["no hydra launcher `slum`", "basic", "`hydra/launcher=slurm`?"],
    "output_dir=file/below": ["`output_dir` must be a folder that can be read and written"],
    "store=file": ["`store` must be a folder that can be read and written"],
    "dataset.root=missing": ["missing"],
}


@pytest.fixture(autouse=True)
def _file(workdir: Path) -> None:
    (workdir / "file").write_text("in the way")


@pytest.mark.parametrize("words", MISTAKES)
def test_mistake(words: str, capsys: pytest.CaptureFixture[str], workdir: Path) -> None:
    verb = "validate" if "percent" in words or "optimizer" in words or "dataset" in words else "run"
    assert main([verb, *words.split()]) == 2
    shown = capsys.readouterr()
    _assert_panel(shown.err, MISTAKES[words])
    assert shown.out == ""
    assert [path.name for path in workdir.iterdir()] == ["file"]


SWEEPABLE = [
    "atack=evasion_pgd",
    "attack=evasion_pgd,evasion_pdg",
    "defense=adv_training defense.epsilonn=1,2",
    "defense=adv_training defense.epsilon=0.1,ten",
    "defense=adv_training defense.epsilon=0.1,-1",
    "defense=outlier_removal defense.percent=10,120",
    "dataset=census,nope",
    "epochs=1,0",
    "output_dir=fine,file",
    "dataset.root=null,missing",
    "seed=interval(0,1)",
    "hydra/sweeper=other",
]


@pytest.mark.parametrize("words", SWEEPABLE)
def test_mistake_in_a_sweep(words: str, capsys: pytest.CaptureFixture[str], workdir: Path) -> None:
    assert main(["run", "-m", *TINY, *words.split()]) == 2
    _assert_panel(capsys.readouterr().err, [])
    assert [path.name for path in workdir.iterdir()] == ["file"]


def test_a_sweep_says_which_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", "defense=adv_training", "seed=0,1", "defense.epsilon=0.1,-1", *TINY]) == 2
    assert "job 2 of 4" in capsys.readouterr().err


def test_no_cuda(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["run", "device=cuda"]) == 2
    _assert_panel(capsys.readouterr().err, ["`device` is cuda", "use auto or cpu", "where"])


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_a_folder_of_somebody_else(
    verb: str, workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (workdir / "outputs").mkdir()
    monkeypatch.setattr("os.access", lambda path, _: Path(path).name != "outputs")  # pyright: ignore[reportUnknownLambdaType]
    assert main([verb]) == 2
    _assert_panel(capsys.readouterr().err, ["`output_dir` must be a folder", "cannot be read"])


def test_a_full_or_read_only_disk(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    for words in ([], ["-m", "seed=0,1"]):
        assert main(["run", *words, *TINY]) == 2
        _assert_panel(capsys.readouterr().err, ["`output_dir` must be a folder", "No space left on device"])


def test_corrupted_census(capsys: pytest.CaptureFixture[str], workdir: Path) -> None:
    packaged = Path(str(datasets.__file__)).parent / "_files"
    for name in ("adult.data", "adult.test"):
        shutil.copy(packaged / f"{name}.xz", workdir / f"{name}.xz")
        (workdir / name).write_bytes(b"39, State-gov, 77516\n")
    for words in ([], ["-m", "seed=0,1"]):
        assert main(["run", f"dataset.root={workdir}", *words]) == 2
        _assert_panel(capsys.readouterr().err, ["adult"])
    assert not (workdir / "outputs").exists()


def test_a_users_own_options(
    capsys: pytest.CaptureFixture[str], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(workdir))
    own = str(own_options(workdir))
    for words, expected in {
        "model=for_images": ["`model`", "does not fit", "(42,)"],
        "attack=needy": ["there is no module `a_package_nobody_has`"],
        "attack=absent": ["has no `Nois`", "my_attacks.Noise"],
        "attack=noise attack.epsilon=much": ["`attack.epsilon` must be a number, got 'much'"],
        "attack=noise defense=noise": ["no defense `noise`"],
        "+experiment=two_seeds attack.epsilon=0.1,x": ["`attack.epsilon` must be a number, got 'x'"],
    }.items():
        assert main(["run", "--config-dir", own, *words.split(), *TINY]) == 2, words
        _assert_panel(capsys.readouterr().err, expected)
    assert not (workdir / "outputs").exists()


def test_an_option_of_ours_is_not_hidden(capsys: pytest.CaptureFixture[str], workdir: Path) -> None:
    own = own_options(workdir)
    shutil.copy(own / "attack" / "noise.yaml", own / "attack" / "evasion_pgd.yaml")
    assert main(["run", "--config-dir", str(own)]) == 2
    _assert_panel(capsys.readouterr().err, ["already an option of Amulet"])


def test_a_refused_combination(capsys: pytest.CaptureFixture[str], workdir: Path) -> None:
    words = ["defense=adv_training", "second_defense=adv_training", *TINY]
    assert main(["run", *words]) == 2
    _assert_panel(capsys.readouterr().err, ["This combination makes no sense", "AdversarialTrainingPGD"])
    assert not (workdir / "outputs").exists()


def test_without_an_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.errors import MissingConfigException

    def not_there(*_: object, **__: object) -> None:
        raise MissingConfigException("no", missing_cfg_file="hydra/launcher/joblib", options=["basic"])

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", not_there)
    assert main(["run", "-m", "seed=0,1", "hydra/launcher=joblib"]) == 2
    _assert_panel(capsys.readouterr().err, ["`joblib` is not installed", "amulet-cli[parallel]"])


def test_what_hydra_cannot_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--cfg", "hydra", "-p", "hydra.sweep", "--resolve"]) == 2
    _assert_panel(capsys.readouterr().err, ["Hydra cannot show this", "output_dir"])


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    run = amulet("run", "attack=model_extractoin", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    _assert_panel(run.stderr, ["`attack=model_extraction`?"])


def test_alike_finds_nothing_far_away() -> None:
    assert similar("zzz", ["epsilon", "steps"]) == []
    assert UsageError("what").within("here").where == "here"
    assert UsageError("what", where="there").within("here").where == "there"


def _assert_panel(text: str, expected: list[str]) -> None:
    flat = " ".join(text.replace("│", " ").split())
    assert "Traceback" not in text
    assert 3 <= len(text.splitlines()) <= 12, text
    assert text.count("╭") == 1, text
    for part in expected:
        assert part in flat, text
