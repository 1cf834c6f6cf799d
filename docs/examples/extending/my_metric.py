"""A metric of your own: a pure function of a risk's evidence."""

from amulet.evasion.metrics import EvasionEvidence


def flipped_by_the_attack(evidence: EvasionEvidence) -> dict[str, float]:
    """Share of the right answers that the attack turned, in [0, 1]; higher is worse for the victim."""
    right = evidence.clean_correct
    turned = right & ~evidence.robust_correct
    return {"flipped_by_the_attack": turned.sum().item() / max(int(right.sum()), 1)}
