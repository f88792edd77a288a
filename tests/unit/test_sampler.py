from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from facesketch.data.sampler import (
    Draw,
    Pen,
    Shuffle,
    StepSampler,
    augmentation_rng,
    replacement,
    steps_per_epoch,
)

pytestmark = pytest.mark.train

counts = st.integers(1, 30)
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=50, deadline=None)


def one_pen(num_sketches: int, photos: list[int] | None = None) -> Pen:
    known = None if photos is None else np.array(photos, np.int32)
    return Pen(0, np.arange(num_sketches, dtype=np.int32), known)


def draws(num_photos: int, num_sketches: int, **kind: int) -> list[list[Draw]]:
    return list(StepSampler(num_photos, [one_pen(num_sketches)], **kind))


@quick
@given(counts, counts, st.integers(1, 5), seeds, st.integers(0, 40))
def test_starting_in_the_middle_gives_the_tail_of_the_whole(
    num_photos: int, num_sketches: int, batch_size: int, seed: int, first_step: int
) -> None:
    kind = {"batch_size": batch_size, "seed": seed, "num_steps": 40}
    whole = draws(num_photos, num_sketches, **kind)
    assert draws(num_photos, num_sketches, first_step=first_step, **kind) == whole[first_step:]


@quick
@given(counts, counts, seeds, st.integers(1, 20), st.integers(1, 20))
def test_the_draws_of_a_step_do_not_depend_on_the_number_of_steps(
    num_photos: int, num_sketches: int, seed: int, few: int, more: int
) -> None:
    kind = {"batch_size": 3, "seed": seed}
    short = draws(num_photos, num_sketches, num_steps=few, **kind)
    longer = draws(num_photos, num_sketches, num_steps=few + more, **kind)
    assert longer[:few] == short
    assert len(longer) == few + more


@quick
@given(counts, counts, st.integers(1, 4), st.integers(1, 4), seeds)
def test_the_shares_of_all_processes_make_up_the_batch_of_one(
    num_photos: int, num_sketches: int, world_size: int, share: int, seed: int
) -> None:
    kind = {"batch_size": world_size * share, "seed": seed, "num_steps": 15}
    whole = draws(num_photos, num_sketches, **kind)
    ranks = [
        draws(num_photos, num_sketches, rank=rank, world_size=world_size, **kind)
        for rank in range(world_size)
    ]
    together = [[draw for part in parts for draw in part] for parts in zip(*ranks, strict=True)]
    assert together == whole


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 2"):
        StepSampler(5, [one_pen(5)], batch_size=3, seed=0, num_steps=1, world_size=2)


@quick
@given(counts, counts, st.integers(1, 7), seeds, st.integers(0, 3))
def test_a_pass_shows_every_image_once_and_the_smaller_domain_as_often_as_that_takes(
    num_photos: int, num_sketches: int, batch_size: int, seed: int, epoch: int
) -> None:
    num_steps = steps_per_epoch(num_photos, num_sketches, batch_size) * (epoch + 1) + 1
    whole = [
        draw
        for step in draws(
            num_photos, num_sketches, batch_size=batch_size, seed=seed, num_steps=num_steps
        )
        for draw in step
    ]
    assert [draw.number for draw in whole] == list(range(len(whole)))
    larger = max(num_photos, num_sketches)
    one_epoch = whole[epoch * larger : (epoch + 1) * larger]
    for size, seen in (
        (num_photos, Counter(draw.photo for draw in one_epoch)),
        (num_sketches, Counter(draw.sketch for draw in one_epoch)),
    ):
        assert set(seen) <= set(range(size))
        if size == larger:
            assert set(seen.values()) == {1}
    for size, order in ((num_photos, "photo"), (num_sketches, "sketch")):
        for start in range(0, len(whole) - size + 1, size):
            one_pass = {getattr(draw, order) for draw in whole[start : start + size]}
            assert len(one_pass) == size


def test_every_pass_has_another_order_and_so_has_every_seed_and_domain() -> None:
    shuffles = [Shuffle(20, seed, domain) for seed in (0, 1) for domain in ("photo", "sketch")]
    orders = {
        tuple(shuffle[number] for number in range(start, start + 20))
        for shuffle in shuffles
        for start in (0, 20, 40)
    }
    assert len(orders) == 12


@given(counts, seeds, st.lists(st.integers(0, 200), max_size=20))
@quick
def test_a_place_of_the_sequence_holds_the_same_item_in_whatever_order_it_is_asked(
    size: int, seed: int, numbers: list[int]
) -> None:
    shuffle = Shuffle(size, seed, "photo")
    assert [shuffle[n] for n in numbers] == [Shuffle(size, seed, "photo")[n] for n in numbers]


def test_photos_and_sketches_are_not_paired() -> None:
    steps = draws(50, 50, batch_size=1, seed=0, num_steps=50)
    assert sum(step[0].photo == step[0].sketch for step in steps) < 10


def test_every_second_sketch_comes_with_its_photo_where_it_has_one() -> None:
    photos = [2, -1, 0, 4, -1]
    kind = {"batch_size": 2, "seed": 0, "num_steps": 20}
    alone = [draw for step in draws(9, 5, **kind) for draw in step]
    sampler = StepSampler(9, [one_pen(5, photos)], **kind)
    paired = [draw for step in sampler for draw in step]
    for before, draw in zip(alone, paired, strict=True):
        assert (draw.number, draw.sketch) == (before.number, before.sketch)
        if draw.number % 2 == 0 and photos[draw.sketch] >= 0:
            assert draw.is_pair
            assert draw.photo == photos[draw.sketch]
        else:
            assert draw == before
    assert sum(draw.is_pair for draw in paired) >= 8


def test_pens_take_turns_and_each_goes_through_its_own_sketches() -> None:
    thin, heavy = (np.array(numbers, np.int32) for numbers in ([0, 3, 4], [1, 2]))
    pens = [Pen(0, thin), Pen(1, heavy, np.array([5, -1], np.int32)), Pen(0, thin)]
    sampler = StepSampler(7, pens, batch_size=3, seed=0, num_steps=12)
    steps = list(sampler)
    assert all([draw.style for draw in step] == [0, 1, 0] for step in steps)
    for turn, numbers in enumerate((thin, heavy, thin)):
        seen = Counter(step[turn].sketch for step in steps)
        assert seen == {int(number): 12 // len(numbers) for number in numbers}
    assert [step[0].sketch for step in steps] != [step[2].sketch for step in steps]
    pairs = [step[1] for step in steps if step[1].is_pair]
    assert pairs
    assert {(draw.sketch, draw.photo) for draw in pairs} == {(1, 5)}
    assert not any(step[turn].is_pair for step in steps for turn in (0, 2))


def test_steps_of_an_epoch_are_rounded_up() -> None:
    assert steps_per_epoch(10, 3, 4) == 3
    assert steps_per_epoch(3, 12, 4) == 3
    assert steps_per_epoch(1, 1, 4) == 1


def test_augmentation_is_a_function_of_seed_sample_and_domain() -> None:
    def first(seed: int, number: int, domain: str) -> int:
        return int(augmentation_rng(seed, number, domain).integers(2**62))

    keys = [(s, n, d) for s in (0, 1) for n in (0, 1, 10**9) for d in ("photo", "sketch")]
    assert len({first(*key) for key in keys}) == len(keys)
    assert first(1, 7, "photo") == first(1, 7, "photo")


@quick
@given(seeds, st.integers(0, 10**9), st.integers(0, 19), counts)
def test_replacements_are_images_of_the_domain_and_repeatable(
    seed: int, number: int, attempt: int, size: int
) -> None:
    index = replacement(seed, number, "sketch", attempt, size)
    assert 0 <= index < size
    assert index == replacement(seed, number, "sketch", attempt, size)


def test_global_random_numbers_are_neither_used_nor_moved() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = draws(5, 7, batch_size=2, seed=0, num_steps=9)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert draws(5, 7, batch_size=2, seed=0, num_steps=9) == first
