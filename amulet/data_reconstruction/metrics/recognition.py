"""Is an input recognised as one of its class by a model that never saw the victim or its records?"""

from torch import Tensor


def recognition(logits: Tensor, labels: Tensor) -> Tensor:
    """The probability (b,) float64 in [0, 1] that a judge gives to the class that an input should show.

    The judge is an independent model: the same recipe, other records of the same distribution. What fools one model
    alone is noise to another. Its own confidence stands for the share of inputs recognised (the "attack accuracy" of
    Zhang et al., The Secret Revealer, CVPR 2020, Section 4.3), which has as few values as there are classes. Higher is
    worse for the victim; an input that says nothing of the class has 1 / classes on average over the classes.

    Args:
        logits: (b, classes) of the judge.
        labels: (b,) the classes that they should show.

    >>> recognition(Tensor([[0.0, 0.0], [-50.0, 50.0]]), Tensor([0, 1]).long())
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    return logits.double().softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
