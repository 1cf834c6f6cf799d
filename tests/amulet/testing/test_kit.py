"""The test kit catches what is broken, each fault by its name; sound components pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amulet.attribute_inference.attacks import AttributeInference
from amulet.attribute_inference.metrics import AttributeEvidence
from amulet.core import Attack, IncompatibleError, Stream
from amulet.core.component import Component
from amulet.datasets import AmuletDataset, Records
from amulet.evasion.attacks import EvasionAttack
from amulet.evasion.metrics import EvasionEvidence
from amulet.membership_inference.attacks import MembershipAttack, Observed
from amulet.membership_inference.attacks.base import Shadow
from amulet.poisoning.attacks import Adversary, Aim, BadNets, Poisoned
from amulet.testing import check_attack, check_dataset, check_defense, check_metric, tiny
from amulet.testing.attacks import every_defense
from amulet.testing.laboratory import Network, people
from amulet.training import Defense, Hook, Loss, LossFunction, Recipe, Training
from amulet.training.recipe import Prepared

OPTION = {
    "_target_": "tests.amulet.testing.test_kit.Noise",
    "about": {"line": "noise", "source": "me", "risk": "evasion"},
    "epsilon": 0.05,
    "batch_size": 100,
}


class Noise(EvasionAttack):
    """Sound: uniform noise within the budget."""

    def __init__(self, *given: Any, epsilon: float | None = 0.05, batch_size: int = 100) -> None:
        super().__init__(*given)
        self.epsilon, self.batch_size = epsilon, batch_size

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        noise = 2 * torch.rand(x.shape, generator=generator) - 1
        return (x + self.strength * noise).clamp(0, 1)

    @property
    def strength(self) -> float:
        return 0.05 if self.epsilon is None else self.epsilon


class LeavesAGradient(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        nn.functional.cross_entropy(model(x), y).backward()
        return super().perturb(model, x, y, **more)


def _look(*_: object) -> None:
    return None


class LeavesAHook(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        model.register_forward_hook(_look)
        return super().perturb(model, x, y, **more)


class LeavesItsMode(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        self.found = model
        return super().perturb(model, x, y, **more)

    def batches(self, *given: Any, **more: Any) -> Any:
        yield from super().batches(*given, **more)
        self.found.train()


class UpdatesBatchNorm(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        model.train()
        with torch.no_grad():
            model(x)
        return super().perturb(model, x, y, **more)


class ChangesWeights(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        with torch.no_grad():
            next(model.parameters()).add_(0.1)
        return super().perturb(model, x, y, **more)


class ChangesRecords(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        found = super().perturb(model, x, y, **more)
        y[0] = 1 - y[0]
        return found


class LeavesItsBall(Noise):
    @property
    def strength(self) -> float:
        return 0.2


class LeavesTheRange(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        return x + self.strength


class MixesRows(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        return super().perturb(model, x, y, **more).roll(1, dims=0)


class WrongShape(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        return super().perturb(model, x, y, **more)[:, :1]


class DrawsGlobally(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        return (x + self.strength * (2 * torch.rand(x.shape) - 1)).clamp(0, 1)


class IsNotDeterministic(Noise):
    calls = 0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        IsNotDeterministic.calls += 1
        return (x + self.strength * (IsNotDeterministic.calls % 7) / 7).clamp(0, 1)


class RenamesASetting(EvasionAttack):
    epsilon = 0.05

    def __init__(self, *given: Any, strength: float = 0.05, batch_size: int = 100) -> None:
        super().__init__(*given)
        self.epsilon, self.batch_size = strength, batch_size

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        return x


class ComputesASetting(Noise):
    def __init__(self, *given: Any, epsilon: float | None = None, batch_size: int = 100) -> None:
        super().__init__(*given, epsilon=0.03 if epsilon is None else epsilon, batch_size=batch_size)


class TakesAnything(Noise):
    def __init__(self, *given: Any, epsilon: float = 0.05, batch_size: int = 100, **_more: Any) -> None:
        super().__init__(*given, epsilon=epsilon, batch_size=batch_size)


class HasNoDefault(Noise):
    def __init__(self, *given: Any, epsilon: float, batch_size: int = 100) -> None:
        super().__init__(*given, epsilon=epsilon, batch_size=batch_size)


class IsUnfinished(EvasionAttack):
    pass


class HasNoRisk(Noise):
    risk = "boredom"


class MixesIds(AttributeInference):
    def infer(self, *given: Any, **more: Any) -> AttributeEvidence:
        found = super().infer(*given, **more)
        return found.changed(ids=found.ids.flip(0))


class NamesStrangers(AttributeInference):
    def infer(self, *given: Any, **more: Any) -> AttributeEvidence:
        found = super().infer(*given, **more)
        return found.changed(ids=found.ids + 10_000)


class PoisonsTooMuch(BadNets):
    def poison(self, records: Records, aim: Aim, adversary: Adversary) -> Poisoned:
        more = BadNets(rate=self.rate * 4, target=self.target)
        return more.poison(records, aim, adversary)


class KnowsADefence(Noise):
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        if not any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
            raise RuntimeError("no BatchNorm here")
        return super().perturb(model, x, y, **more)


class Quantile(MembershipAttack):
    """A user's own membership attack: the victim's own signal."""

    def __init__(
        self, *given: Any, n_shadow: int = 4, shadow: Shadow = "same_as_victim", pool_size: int | None = None
    ) -> None:
        super().__init__(*given)
        self._set_shadows(n_shadow, shadow, pool_size)

    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        return {"quantile": np.asarray(observed.target, dtype=float)}


class ChangesItsSettings(Quantile):
    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        self.n_shadow += 2
        return super().scores(observed)


FAULTS: list[tuple[type[Attack], str]] = [
    (LeavesAGradient, "leaves a gradient on the victim: `layers.1.bias`"),
    (LeavesAHook, "leaves a hook on the victim"),
    (LeavesItsMode, "leaves the victim in another mode"),
    (UpdatesBatchNorm, "BatchNorm's statistics: `layers.2.num_batches_tracked`"),
    (ChangesWeights, "changes the victim's weights: `layers.1.weight`"),
    (ChangesRecords, "changes the records that it was given"),
    (LeavesItsBall, "left its budget"),
    (LeavesTheRange, "left its budget"),
    (MixesRows, "left its budget"),
    (WrongShape, "fails when it attacks"),
    (DrawsGlobally, "draws from a global random generator"),
    (IsNotDeterministic, "is not deterministic: with the same stream `distance` differs"),
    (ChangesItsSettings, "changes its own settings"),
    (RenamesASetting, "`strength` is not stored under its own name"),
    (ComputesASetting, "`epsilon` is not stored unchanged: None became 0.03"),
    (TakesAnything, "takes `**_more`: a setting that is misspelt would go unseen"),
    (HasNoDefault, "must all have defaults"),
    (IsUnfinished, "does not write `perturb`"),
    (HasNoRisk, "`risk` must be one of evasion"),
    (MixesIds, "mixes records: `truth.sex` is not what the records with these ids have"),
    (NamesStrangers, "names records that are not in the data set"),
    (PoisonsTooMuch, "did not poison what it was asked to"),
    (KnowsADefence, "fails when it meets DPSGD: RuntimeError: no BatchNorm here"),
]


@pytest.mark.parametrize(("broken", "text"), FAULTS, ids=lambda p: p.__name__ if isinstance(p, type) else "")
def test_a_broken_attack_is_caught(broken: type[Attack], text: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_attack(broken)
    assert text in str(caught.value)
    assert str(caught.value).startswith(broken.__name__)


def test_a_sound_attack_passes_with_its_option() -> None:
    check_attack(Noise, {**OPTION, "_target_": f"{__name__}.Noise"}, defenses=())
    check_attack(Noise(epsilon=0.01), defenses=())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"batch_size": None}, "does not list `batch_size`"),
        ({"steps": 3}, "lists `steps`, which is no setting of it"),
        ({"epsilon": 0.5}, "has `epsilon: 0.5`, the default is 0.05"),
        ({"about": {"line": "noise", "risk": "evasion"}}, "does not say `about.source`"),
        ({"about": {"line": "n", "source": "me", "risk": "poisoning"}}, "says `about.risk: poisoning`"),
        ({"_target_": "amulet.evasion.attacks.EvasionPGD"}, "`_target_` is something else"),
        ({"_target_": "nowhere.Noise"}, "`_target_` leads nowhere"),
    ],
)
def test_an_option_that_does_not_fit_is_caught(change: dict[str, Any], text: str) -> None:
    option = {**OPTION, "_target_": f"{__name__}.Noise", **change}
    option = {name: value for name, value in option.items() if value is not None}
    with pytest.raises(AssertionError) as caught:
        check_attack(Noise, option, defenses=())
    assert text in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    option = {"_target_": "nowhere.Noise", "epsilon": 3}
    with pytest.raises(AssertionError) as caught:
        check_attack(Noise, option)
    assert str(caught.value).count("\n- ") == 6


def test_a_users_membership_attack_passes() -> None:
    check_attack(Quantile, defenses=())


class Blur(Defense):
    """Sound: training inputs are moved halfway to their mean."""

    risk = "membership_inference"
    stage = "before"

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = share

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        x = records.inputs()
        return Prepared(records.replace(x=x + self.share * (x.mean(dim=0) - x)))


class OutOfRange(Blur):
    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        return Prepared(records.replace(x=records.x + 1))


class BringsStrangers(Blur):
    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        return Prepared(records.replace(ids=records.ids + 5_000))


class MisalignsArrays(Blur):
    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        removed = np.zeros(len(records) - 1, dtype=bool)
        return Prepared(records, arrays={"ids": records.ids.numpy(), "removed": removed})


class WritesIntoRecords(Blur):
    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        records.y[0] = 1 - records.y[0]
        recipe.runtime.reporter.note("mine")
        return Prepared(records)


class ShufflesByChance(Blur):
    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        return Prepared(records.take(torch.randperm(len(records))[:100]))


class SaysAnotherStage(Blur):
    stage = "in"


class KeepsItsHook(Defense):
    risk = "evasion"
    stage = "in"

    def __init__(self) -> None:
        self.mine = Hook()

    def hook(self) -> Hook:
        return self.mine


class _Explodes(Hook):
    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        found = inner(batch)
        return Loss(found.values * float("inf"), found.logits)


class Explodes(KeepsItsHook):
    def hook(self) -> Hook:
        return _Explodes()


class RefusesLate(Blur):
    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        raise IncompatibleError("these records are not to my taste")


BROKEN_DEFENSES: list[tuple[type[Defense], str]] = [
    (OutOfRange, "prepares inputs outside [0, 1]"),
    (BringsStrangers, "prepares records that it was not given"),
    (MisalignsArrays, "keeps `removed` with another number of entries than `ids`"),
    (ShufflesByChance, "draws from a global random generator"),
    (SaysAnotherStage, "acts in training, and does not write `hook`"),
    (KeepsItsHook, "gives the same hook twice"),
    (Explodes, "fails when a model is trained with it: Diverged"),
]


@pytest.mark.parametrize(("broken", "text"), BROKEN_DEFENSES, ids=lambda p: p.__name__ if isinstance(p, type) else "")
def test_a_broken_defence_is_caught(broken: type[Defense], text: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_defense(broken, attacks=(), defenses=())
    assert text in str(caught.value)


def test_a_defence_that_writes_into_records_is_caught() -> None:
    with pytest.raises(AssertionError, match="changes the records"):
        check_defense(WritesIntoRecords, attacks=(), defenses=(), data=people())


def test_a_refusal_after_training_is_caught() -> None:
    with pytest.raises(AssertionError, match="refused only when a model is trained with it, which is too late"):
        check_defense(RefusesLate, attacks=(), defenses=())


def test_a_sound_defence_passes() -> None:
    check_defense(Blur, attacks=[Noise()], defenses=())


def share_of_right_answers(evidence: EvasionEvidence) -> dict[str, float]:
    return {"right": evidence.clean_correct.double().mean().item()}


def changes_its_evidence(evidence: EvasionEvidence) -> dict[str, float]:
    evidence.distance.zero_()
    return {"right": 1.0}


def is_not_pure(evidence: EvasionEvidence) -> dict[str, float]:
    return {"right": np.random.default_rng().random()}


def counts_instead_of_shares(evidence: EvasionEvidence) -> dict[str, float]:
    return {"right": float(evidence.clean_correct.sum())}


def gives_a_tensor(evidence: EvasionEvidence) -> dict[str, Any]:
    return {"right": evidence.clean_correct.double().mean()}


def takes_anothers_name(evidence: EvasionEvidence) -> dict[str, float]:
    return {"robust_accuracy": 1.0}


def says_not_why(evidence: EvasionEvidence) -> dict[str, float]:
    return {"right": float("nan")}


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (changes_its_evidence, "changes the evidence that it is given: `distance`"),
        (is_not_pure, "is not pure"),
        (counts_instead_of_shares, "`right` must be a fraction in [0, 1]"),
        (gives_a_tensor, "`right` must be a float, it is Tensor"),
        (takes_anothers_name, "`robust_accuracy` is a metric of evasion already"),
        (says_not_why, "`right` is nan, and no warning says why"),
    ],
)
def test_a_broken_metric_is_caught(metric: Callable[[Any], dict[str, float]], text: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_metric(metric, risk="evasion")
    assert text in str(caught.value)


def test_a_sound_metric_passes_and_its_option_is_read() -> None:
    node = {"risk": "evasion", "function": f"{__name__}.share_of_right_answers", "about": {"line": "right answers"}}
    check_metric(share_of_right_answers, {"right": node})
    with pytest.raises(AssertionError, match=r"does not say `about\.line`"):
        check_metric(share_of_right_answers, {"right": {**node, "about": {}}})
    with pytest.raises(AssertionError, match="whose evidence"):
        check_metric(share_of_right_answers)


def load_points(*, scale: float = 1.0, twice: bool = False, lost: bool = False, chance: bool = False) -> AmuletDataset:
    generator = torch.Generator()
    if not chance:
        generator.manual_seed(0)
    else:
        generator.seed()
    x = torch.rand(100, 3, generator=generator) * scale
    y = torch.zeros(100, dtype=torch.int64) if lost else torch.arange(100) % 2
    whole = Records.of(x, y, (torch.arange(100) // 2 % (1 if twice else 2)).view(-1, 1), ("group",))
    train, test = whole.take(torch.arange(50)), whole.take(torch.arange(50, 100))
    return AmuletDataset(name="points", modality="tabular", train=train, test=test, num_classes=2)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"scale": 3.0}, "`train`: inputs must be in [0, 1]"),
        ({"twice": True}, "the sensitive attribute `group` must have a name and two values at least"),
        ({"lost": True}, "no training record is of class 1"),
        ({"chance": True}, "`train` is not the same every time"),
    ],
)
def test_a_broken_data_set_is_caught(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_dataset(load_points, **settings)
    assert text in str(caught.value)


def test_a_sound_data_set_passes_and_its_option_is_read() -> None:
    data = {"modality": "tabular", "shape": [3], "classes": 2, "attributes": ["group"]}
    about = {"line": "points", "source": "me", "data": data}
    option = {"_target_": f"{__name__}.load_points", "about": about, "scale": 1.0, "twice": False, "lost": False}
    check_dataset(load_points, {**option, "chance": False})
    with pytest.raises(AssertionError, match="does not list `chance`"):
        check_dataset(load_points, option)
    wrong = {**option, "chance": False, "about": {**about, "data": {**data, "shape": [4]}}}
    with pytest.raises(AssertionError, match=r"says `about.data.shape: \[4\]`, it is \(3,\)"):
        check_dataset(load_points, wrong)


class Steps(Component):
    def __init__(self, *, steps: int = 100, n_shadow: int = 2, epochs: int | None = None, mine: int = 50) -> None:
        self.steps, self.n_shadow, self.epochs, self.mine = steps, n_shadow, epochs, mine


def test_tiny_lowers_what_is_larger_and_nothing_else() -> None:
    assert tiny(Steps()).settings() == {"steps": 5, "n_shadow": 2, "epochs": None, "mine": 50}


def test_every_defence_is_found_where_the_risks_export_it() -> None:
    assert {type(defense).__name__ for defense in every_defense()} >= {"DPSGD", "WatermarkNN"}


def test_the_kits_victim_has_batch_norm_and_learns() -> None:
    assert any(isinstance(module, nn.BatchNorm1d) for module in Network((8,), 2).modules())
