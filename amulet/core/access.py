"""What an attack needs of the model it attacks, and what a victim grants."""

from enum import Flag, auto

_WORDS = {
    "LABELS": "the class it answers",
    "PROBABILITIES": "its probabilities",
    "LOGITS": "its logits",
    "QUERIES": "answers to records of the adversary's choice",
    "GRADIENTS": "gradients of its loss",
    "WEIGHTS": "its weights",
    "TRAINING": "other models, trained as it was",
}


class Access(Flag):
    """What an adversary can have of a victim; an attack `needs` some of it, a victim grants some of it.

    Who has probabilities has the classes too, and who has logits has both: `granting` adds what is implied.
    """

    LABELS = auto()
    """The class it answers."""
    PROBABILITIES = auto()
    """The probabilities of all classes."""
    LOGITS = auto()
    """The logits of all classes."""
    QUERIES = auto()
    """Answers to records of the adversary's choice, beside those that were recorded."""
    GRADIENTS = auto()
    """Gradients of its loss with regard to the input."""
    WEIGHTS = auto()
    """Its weights."""
    TRAINING = auto()
    """Other models that are trained by the victim's recipe: shadow models, poisoned models, populations."""

    def words(self) -> str:
        """In plain words.

        >>> (Access.LABELS | Access.GRADIENTS).words()
        'the class it answers, gradients of its loss'
        """
        return ", ".join(_WORDS[str(one.name)] for one in self)


ALL = ~Access(0)
"""What a PyTorch model in memory grants, with the recipe that made it."""

_IMPLIED = {
    Access.PROBABILITIES: Access.LABELS,
    Access.LOGITS: Access.PROBABILITIES | Access.LABELS,
    Access.WEIGHTS: Access.GRADIENTS | Access.LOGITS | Access.PROBABILITIES | Access.LABELS | Access.QUERIES,
}


def granting(access: Access) -> Access:
    """With what is implied: probabilities give the class away, weights give all answers and gradients.

    >>> granting(Access.PROBABILITIES) == Access.PROBABILITIES | Access.LABELS
    True
    """
    for one, implied in _IMPLIED.items():
        if one in access:
            access |= implied
    return access


def missing(needed: Access, granted: Access) -> Access:
    """What is needed and not granted; false if nothing is.

    >>> missing(Access.LABELS | Access.GRADIENTS, Access.PROBABILITIES)
    <Access.GRADIENTS: 16>
    """
    return needed & ~granting(granted)
