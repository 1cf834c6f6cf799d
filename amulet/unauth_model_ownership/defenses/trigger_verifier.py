"""Ownership verified by a suspect's answers to watermark triggers."""

from torch import nn

from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.unauth_model_ownership.defenses.base import Judgement, Verifier
from amulet.unauth_model_ownership.triggers import TriggerSet, match_p_value


class TriggerVerifier(Verifier):
    """Queries a suspect with the triggers and counts matches; needs only its answers."""

    def __init__(
        self,
        triggers: TriggerSet,
        *,
        embedded: bool,
        warnings: tuple[str, ...] = (),
        others: TriggerSet | None = None,
    ) -> None:
        """`others`: inputs that somebody else would draw for triggers, for `false_claim`; the same ones if None."""
        n, classes = len(triggers.x), triggers.classes
        super().__init__(
            {"triggers": n, "chance": 1 / classes, "embedded": embedded},
            {"x": triggers.x.numpy(), "y": triggers.y.numpy()},
            warnings,
        )
        self.triggers, self.others = triggers, others or triggers

    def judge(self, suspect: nn.Module) -> Judgement:
        """The share of triggers for which the suspect gives the owner's labels, and its probability by chance."""
        return self._counted(suspect, self.triggers)

    def false_claim(self, model: nn.Module, rival: nn.Module) -> Judgement:
        """The claim with triggers whose labels are what another model answers: not drawn, but chosen to fit.

        Two models of the same task agree on far more inputs than 1 / classes of them, so such labels match without
        any mark.
        """
        given = predict(rival, Records.of(self.others.x, self.others.y)).argmax(dim=1)
        return self._counted(model, TriggerSet(self.others.x, given, self.others.classes))

    def _counted(self, suspect: nn.Module, triggers: TriggerSet) -> Judgement:
        n, matches = len(triggers.x), int(triggers.matches(suspect).sum())
        return Judgement(match_p_value(matches, n, triggers.classes), matches / n, n)
