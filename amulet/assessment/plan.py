"""What is to be assessed, and with which attacks."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from amulet.assessment.risks import RISKS, risk_of
from amulet.assessment.suite import members_of
from amulet.core.access import ALL, Access
from amulet.core.component import Attack, Factory
from amulet.core.errors import SettingError, one_of
from amulet.core.evidence import Evidence, Measurement
from amulet.core.risk import UTILITY
from amulet.datasets.base import AmuletDataset
from amulet.training.defense import Defense
from amulet.training.loop import EarlyStopping, Precision
from amulet.training.pretrained import Given, Pretrained
from amulet.training.runtime import Runtime
from amulet.training.victim import DataSplits, Victim
from amulet.victims.given import GivenVictim

ExtraMetric = Callable[[Any], "Mapping[str, float] | Measurement"]


class RiskProtocol(Protocol):
    """The interface of `amulet.<risk>.protocol`."""

    def default_attack(self, defenses: Sequence[Defense]) -> Attack:
        """The attack that measures this risk when the user chose none for it."""
        ...

    def check(self, attack: Attack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work; called without data first, then with it."""
        ...

    def assess(self, victim: Victim, attack: Attack, splits: DataSplits) -> Evidence:
        """Run the attack on one victim."""
        ...

    def measure(self, evidence: Any) -> Measurement:
        """The risk's metrics, a pure function of the evidence."""
        ...


def protocol_of(risk: str) -> RiskProtocol:
    """The protocol module of a risk."""
    return cast(RiskProtocol, importlib.import_module(RISKS[risk].protocol))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that one assessment depends on."""

    data: AmuletDataset | None
    """May be None for `check`, before any data is read."""
    architecture: Factory
    optimizer: Factory
    schedule: Factory | None = None
    epochs: int = 20
    batch_size: int = 256
    early_stopping: EarlyStopping | None = None
    precision: Precision = "auto"
    augmentation: tuple[Factory, ...] = ()
    """Random changes of the training images, for the adversary's models as well as for the victim's."""
    defenses: tuple[Defense, ...] = ()
    attack: Attack | None = None
    metrics: tuple[str, ...] = ("default",)
    """Risks by name, `utility`, or `default`: utility, the attack's risk and the defences' own risks."""
    optional: tuple[str, ...] = ()
    """Those of them that are left out, with the reason, if they make no sense; for any other the plan is refused."""
    attacks: Mapping[str, Attack] = field(default_factory=dict[str, Attack])
    """By risk: what measures it instead of its default attack, for a risk that `attack` is not on."""
    attack_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """By risk: hyper-parameters of the attack that measures it, for a risk that `attack` is not on."""
    extra_metrics: Mapping[str, Sequence[ExtraMetric]] = field(default_factory=dict[str, Sequence[ExtraMetric]])
    """By risk: the user's own functions of its evidence, computed after its metrics."""
    adversary_fraction: float = 0.5
    """Share of the training split that the adversary has instead of the victim."""
    pretrained: Pretrained | None = None
    """The undefended victim's weights, if it was trained elsewhere."""
    victim: GivenVictim | None = None
    """The undefended victim, if it is no network that is trained here: `amulet.victims.of`. The architecture and all
    that belongs to its training are then those of the adversary's own models."""
    trial: bool = False
    """Whether attacks that the plan does not name do as little work as shows that they work."""
    seed: int = 0
    reuse: bool = True
    """Reuse earlier measurements from the runtime's store, and keep the new ones."""
    runtime: Runtime = field(default_factory=Runtime)

    def risks(self) -> list[str]:
        """The risks to measure, in order; each once."""
        wanted: list[str] = []
        for metric in self.metrics:
            if metric == "default":
                wanted += [
                    UTILITY.name,
                    *([self.attack.risk] if self.attack else []),
                    *(d.risk for d in self.defenses),
                ]
            else:
                try:
                    wanted.append(risk_of(metric).name)
                except KeyError:
                    raise SettingError(
                        f"`metric` must name risks ({', '.join(RISKS)}), utility or default; got {metric}"
                    ) from None
        return list(dict.fromkeys(wanted))

    def attack_on(self, risk: str) -> Attack:
        """The chosen attack if it is on that risk, else the one of `attacks`, else that risk's default attack."""
        if self.attack is not None and self.attack.risk == risk:
            return self.attack
        default = self.attacks.get(risk) or protocol_of(risk).default_attack(self.defenses)
        settings = self.attack_settings.get(risk, {})
        for name in settings:
            one_of(f"metric.{risk}.attack", name, default.settable())
        attack = default.changed(**settings)
        return attack.for_trial() if self.trial else attack

    @property
    def given(self) -> Given | None:
        """The undefended victim's trained model, if it is given; None: it is trained."""
        if self.victim is not None:
            return self.victim if self.victim.model is not None else None
        return self.pretrained

    def as_it_is(self, risk: str) -> bool:
        """Whether a risk that trains the victim again is measured on the given one: its members are known, and the
        attack needs no other models."""
        return self.given is not None and self.given.members_known and not self.defenses and self.trains_none(risk)

    def trains_none(self, risk: str) -> bool:
        """Whether the attack on a risk, or one of a suite, needs no other models that are trained as the victim was."""
        if risk == UTILITY.name:
            return False
        return any(Access.TRAINING not in one.needs for one in members_of(self.attack_on(risk)).values())

    def granted(self) -> Access:
        """What an adversary can have of the undefended victim."""
        if self.victim is not None:
            return self.victim.access
        unknown = self.pretrained is not None and not self.pretrained.recipe_known
        return ALL & ~Access.TRAINING if unknown else ALL
