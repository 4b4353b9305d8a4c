from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pixelwise.datasets.layouts.names import Matching, Name, Rule, create_name, match_names


def names(text: str) -> list[Name]:
    """`a/b c` as the names of b, in the folder a, and of c."""
    found = []
    for path in text.split():
        folders, _, file = path.rpartition("/")
        found.append(create_name(0, folders, f"{file}.png"))
    return found


def match(images: str, masks: str, rule: Rule = "any") -> Matching:
    return match_names(names(images), names(masks), rule=rule)


def read(matching: Matching) -> dict[int, tuple[int, ...]]:
    return dict(matching.pairs)


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("a b", "a b"),
        ("a b", "a_mask b_mask"),
        ("img_1 img_2", "img_1_mask img_2_mask"),
        ("IMG_0001 IMG_0002", "IMG_0001_mask IMG_0002_mask"),
        ("image_1 image_2", "gt_1 gt_2"),
        ("img(1) img(2)", "target(1) target(2)"),
        ("t01 t21", "man_seg01 man_seg21"),
        ("00 01 10", "labels00000000 labels00000001 labels00000010"),
        ("x_1_fram x_2_fram", "x_1_mask x_2_mask"),
        ("1_sat 10_sat", "1_mask 10_mask"),
        ("c_1e7ccd4 c_2a2274b", "1e7ccd4_mask 2a2274b_mask"),
        ("a_061__93_0 b_061__93_8", "a_061_zones__93_0 b_061_zones__93_8"),
        ("n-1_0000 n-10_0000 n-0_0000", "n-1 n-10 n-0"),
        ("A b", "a B"),
        ("train/1 test/1", "train/1_gt test/1_gt"),
        ("p_leftImg8bit q_leftImg8bit", "p_gtFine_labelIds q_gtFine_labelIds"),
        ("sample_1 sample_2", "sample_mask_1 sample_mask_2"),
        ("volume", "labels"),
    ],
    ids=lambda text: text.split()[0],
)
def test_names_that_fit(images: str, masks: str) -> None:
    found = match(images, masks)
    count = len(images.split())
    assert found.complete
    assert read(found) == {i: (i,) for i in range(count)}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("a", "b"),
        ("t1", "t2"),
        ("a b", "c d"),
        ("a_1 b_1", "a_2 b_2"),
        ("train_1 train_2", "val_1 val_2"),
        ("1 01", "mask_001 mask_2"),
        ("im0139", "im0139.vk im0139.ah"),
        ("a_Annotation b_Annotation", "a_Mask b_Mask"),
        ("1 2 3 4 5 6", "6 7 8 9 10 11"),
        ("a1 a2", "a1_red a1_blue a2_red a2_blue"),
    ],
    ids=lambda text: text.split()[0],
)
def test_names_that_do_not_tell(images: str, masks: str) -> None:
    assert not match(images, masks).pairs


def test_kinds_that_fit_equally_well_are_named() -> None:
    assert match("a1 a2", "a1_red a1_blue a2_red a2_blue").rivals == ("blue", "red")


def test_the_one_kind_that_covers_all_images() -> None:
    found = match(
        "um_0 um_1 umm_0 uu_0", "um_lane_0 um_lane_1 um_road_0 um_road_1 umm_road_0 uu_road_0"
    )
    assert read(found) == {0: (2,), 1: (3,), 2: (4,), 3: (5,)}
    assert "'road'" in found.words


def test_a_kind_with_more_masks_than_images_left_is_a_rival() -> None:
    """The images of most roads are gone: those that are left have lanes, all of them."""
    masks = "um_lane_0 um_lane_1 um_road_0 umm_road_0 uu_road_0"
    assert not match("um_0 um_1", masks).pairs


def test_letter_case_counts_where_it_tells_names_apart() -> None:
    found = match("P1_A P1_a", "P1_a_mask P1_A_mask")
    assert read(found) == {0: (1,), 1: (0,)}


def test_normal_forms_are_one_name() -> None:
    composed, apart = "\u00fcber", unicodedata.normalize("NFD", "\u00fcber")
    assert composed != apart
    assert read(match(composed, apart)) == {0: (0,)}


def test_numbered_masks_belong_to_one_image() -> None:
    assert read(match("b_(1) b_(2)", "b_(1)_mask b_(1)_mask_1 b_(2)_mask")) == {0: (0, 1), 1: (2,)}
    assert read(match("a b", "a_mask_1 a_mask_2 b_mask_1 b_mask_2")) == {0: (0, 1), 1: (2, 3)}


def test_a_number_that_is_no_mask_of_its_own() -> None:
    """a_2_1 may be the mask of an image that is not there."""
    assert read(match("a_2 a_3", "a_2_mask a_2_1_mask a_3_mask")) == {0: (0,), 1: (2,)}


def test_some_may_have_no_partner_if_names_are_equal() -> None:
    assert read(match("a b", "b c")) == {1: (0,)}


@pytest.mark.parametrize(
    ("images", "masks"),
    [("f0 f1 f2 f3", "f1 f2 f3 f4"), ("1 2 3 4", "2_mask 4_mask 6_mask 8_mask")],
)
def test_numbers_that_are_shifted_make_no_pairs(images: str, masks: str) -> None:
    assert not match(images, masks).pairs
    assert match(images, masks.rpartition(" ")[0]).pairs  # one is missing: nothing is shifted


def test_some_may_be_missing_on_both_sides() -> None:
    assert read(match("1 2 3 4", "1 2 3 5")) == {0: (0,), 1: (1,), 2: (2,)}
    assert read(match("a1 b2", "a1 c2")) == {0: (0,)}


def test_equal_names_come_before_a_kind_of_masks() -> None:
    assert read(match("1 2", "1 1.png 2.png")) == {0: (0,)}


def test_among_images_only_words_for_images_are_dropped() -> None:
    """Once the images are gone, what else lies in the folder is not taken for them."""
    assert read(match("p1_rgb p2_rgb", "p1_label p2_label", "mixed")) == {0: (0,), 1: (1,)}
    assert not match("p1_flows p2_flows", "p1_label p2_label", "mixed").pairs


def test_only_one_side_loses_words_where_files_alone_tell_the_masks() -> None:
    images, masks = "benign_1 benign_2", "malignant_1_mask malignant_2_mask"
    assert match(images, masks, "any").pairs
    assert not match(images, masks, "one side").pairs


def test_names_of_other_places_are_not_compared() -> None:
    images = [create_name(scope, "", "1.png") for scope in "ab"]
    masks = [create_name(scope, "", "1_mask.png") for scope in "ba"]
    assert read(match_names(images, masks)) == {0: (1,), 1: (0,)}


WORD = st.sampled_from(["cell", "gt", "img", "mask", "x", "t", "seg", "_", "-", "a", "B"])


@given(
    ids=st.lists(st.integers(0, 400), min_size=2, max_size=8, unique=True),
    image=st.tuples(WORD, WORD),
    mask=st.tuples(WORD, WORD),
    padding=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    gone=st.sets(st.integers(0, 15), max_size=3),
)
def test_no_wrong_pair_with_files_missing(
    ids: list[int],
    image: tuple[str, str],
    mask: tuple[str, str],
    padding: tuple[int, int],
    gone: set[int],
) -> None:
    def write(number: int, words: tuple[str, str], width: int) -> str:
        return f"{words[0]}_{number:0{width}}_{words[1]}.png"

    keys = [(number, "i") for number in ids] + [(number, "m") for number in ids]
    kept = [key for i, key in enumerate(keys) if i not in gone]
    images = [number for number, side in kept if side == "i"]
    masks = [number for number, side in kept if side == "m"]
    assume(images and masks)
    found = match_names(
        [create_name(0, "", write(n, image, padding[0])) for n in images],
        [create_name(0, "", write(n, mask, padding[1])) for n in masks],
    )
    for i, numbers in found.pairs:
        assert [masks[m] for m in numbers] == [images[i]]
