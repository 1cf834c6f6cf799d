"""A small part of `make torture`, always the same."""

from tests.helpers.torture.bits import changed_bits
from tests.helpers.torture.downloads import bad_servers
from tests.helpers.torture.words import wrong_files, wrong_words


def test_wrong_words_are_refused_in_a_few_lines() -> None:
    assert wrong_words(10, seed=1).lost == []


def test_wrong_option_files_are_refused_in_a_few_lines() -> None:
    assert wrong_files(5, seed=1).lost == []


def test_changed_bits_are_never_believed() -> None:
    assert changed_bits(30, seed=1).lost == []


def test_a_server_that_misbehaves_leaves_no_wrong_file() -> None:
    assert bad_servers(5, seed=1).lost == []
