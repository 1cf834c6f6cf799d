"""A small part of `make torture`, always the same."""

from tests.helpers.torture import changed_bits, wrong_words


def test_wrong_words_are_refused_in_a_few_lines() -> None:
    assert wrong_words(15, seed=1) == []


def test_changed_bits_are_never_believed() -> None:
    assert changed_bits(30, seed=1) == []
