from __future__ import annotations

import pytest

from pixelwise.datasets.layouts.words import (
    IMAGE_WORDS,
    MASK_WORDS,
    RESULT_WORDS,
    cut_suffix,
    find_words,
    number_parts,
    split_words,
)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.png", "a"),
        ("a.ome.tif", "a"),
        ("a.OME.TIFF", "a"),
        ("a.nii.gz", "a"),
        ("a.b.png", "a.b"),
        ("a", "a"),
        (".hidden", ".hidden"),
    ],
)
def test_the_suffix_is_cut(name: str, stem: str) -> None:
    assert cut_suffix(name) == stem


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("JPEGImages", ("jpeg", "images")),
        ("train_img", ("train", "img")),
        ("ISIC2018_Training_GroundTruth", ("isic", "2018", "training", "groundtruth")),
        ("ground truth", ("groundtruth",)),
        ("imageJ", ("imagej",)),
        ("Tissue Images", ("tissue", "images")),
    ],
)  # fmt: skip
def test_words_of_folders(name: str, words: tuple[str, ...]) -> None:
    assert split_words(name) == words


def test_words_of_files_are_set_off_by_anything_but_letters() -> None:
    assert find_words("a_mask", MASK_WORDS) == ("mask",)
    assert find_words("mask2d", MASK_WORDS) == ("mask",)
    assert find_words("damasked", MASK_WORDS) == ()


def test_numbers_are_compared_as_numbers() -> None:
    assert number_parts(["t", "007"]) == number_parts(["T", "7"]) == ("t", 7)


def test_no_word_has_two_roles() -> None:
    assert not IMAGE_WORDS & MASK_WORDS
    assert not (IMAGE_WORDS | MASK_WORDS) & RESULT_WORDS
