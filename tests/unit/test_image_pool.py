from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from facesketch.image_pool import ImagePool  # noqa: E402
from train_helpers import differences  # noqa: E402

pytestmark = pytest.mark.train

CPU = torch.device("cpu")


def pictures(*numbers: int) -> Tensor:
    """Pictures that can be told apart, (B, 3, 2, 2)."""
    return torch.stack([torch.full((3, 2, 2), float(n)) for n in numbers])


def numbers(images: Tensor) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def asked(pool: ImagePool, images: Tensor) -> Tensor:
    """Query a pool; styles, here the pictures' numbers, must travel with the pictures."""
    result, styles = pool.query(images, numbers(images))
    assert styles == numbers(result)
    return result


def kept(pool: ImagePool) -> list[int]:
    images = pool.state_dict()["images"]
    return [] if images is None else numbers(images)


def full_pool(size: int = 4, seed: int = 0) -> ImagePool:
    pool = ImagePool(size, seed)
    asked(pool, pictures(*range(-size, 0)))
    pool.commit()
    return pool


def test_until_it_is_full_pictures_are_kept_and_returned() -> None:
    pool = ImagePool(3, seed=0)
    for batch in ([1, 2], [3]):
        assert numbers(asked(pool, pictures(*batch))) == batch
        pool.commit()
    assert kept(pool) == [1, 2, 3]


def test_a_full_pool_hands_out_old_pictures_half_of_the_time() -> None:
    pool = full_pool(size=10)
    num_old = 0
    for number in range(400):
        num_old += numbers(asked(pool, pictures(number))) != [number]
        pool.commit()
    assert 160 <= num_old <= 240
    assert len(kept(pool)) == 10


def test_an_old_picture_leaves_and_the_new_one_takes_its_place() -> None:
    pool = full_pool()
    for number in range(50):
        before = kept(pool)
        [returned] = numbers(asked(pool, pictures(number)))
        pool.commit()
        if returned == number:
            assert kept(pool) == before
        else:
            place = before.index(returned)
            assert kept(pool) == [*before[:place], number, *before[place + 1 :]]


def test_every_place_is_exchanged_in_the_long_run() -> None:
    pool = full_pool(size=5)
    asked(pool, pictures(*range(100)))
    pool.commit()
    assert min(kept(pool)) >= 0


def test_a_pool_of_size_zero_returns_what_it_gets() -> None:
    pool = ImagePool(0, seed=0)
    assert numbers(asked(pool, pictures(1, 2))) == [1, 2]
    pool.commit()
    assert kept(pool) == []


@pytest.mark.parametrize("commit_between", [False, True])
def test_a_batch_is_exchanged_as_its_pictures_one_by_one(commit_between: bool) -> None:
    whole, parts = ImagePool(3, seed=5), ImagePool(3, seed=5)
    together = numbers(asked(whole, pictures(*range(12))))
    whole.commit()
    single = []
    for number in range(12):
        single += numbers(asked(parts, pictures(number)))
        if commit_between:
            parts.commit()
    parts.commit()
    assert together == single
    assert not list(differences(whole.state_dict(), parts.state_dict()))


def test_a_batch_larger_than_the_pool_may_return_its_own_pictures() -> None:
    pool = ImagePool(1, seed=0)
    returned = numbers(asked(pool, pictures(*range(20))))
    assert returned[0] == 0
    assert set(returned) <= set(range(20))
    assert any(number != place for place, number in enumerate(returned))


def test_nothing_changes_before_the_commit_and_a_discard_forgets_it() -> None:
    pool, undisturbed = full_pool(), full_pool()
    asked(pool, pictures(*range(20)))
    assert not list(differences(pool.state_dict(), undisturbed.state_dict()))
    pool.discard()
    again = numbers(asked(pool, pictures(*range(30, 50))))
    assert again == numbers(asked(undisturbed, pictures(*range(30, 50))))


def test_kept_pictures_do_not_change_with_the_batch_they_came_in() -> None:
    pool = ImagePool(2, seed=0)
    batch = pictures(1, 2)
    asked(pool, batch)
    pool.commit()
    batch.zero_()
    assert kept(pool) == [1, 2]


def test_a_restored_pool_goes_on_as_the_saved_one() -> None:
    pool = full_pool()
    asked(pool, pictures(*range(7)))
    pool.commit()
    restored = ImagePool(4, seed=99)
    restored.load_state_dict(pool.state_dict(), CPU)
    for start in (10, 20):
        batch = pictures(*range(start, start + 5))
        assert torch.equal(asked(pool, batch), asked(restored, batch))
        pool.commit()
        restored.commit()
    assert not list(differences(pool.state_dict(), restored.state_dict()))


def test_a_saved_empty_pool_empties_the_one_it_is_loaded_into() -> None:
    pool = full_pool()
    pool.load_state_dict(ImagePool(4, seed=1).state_dict(), CPU)
    assert kept(pool) == []


def test_a_restored_pool_returns_the_same_memory_layout() -> None:
    pool = ImagePool(1, seed=0)
    asked(pool, torch.rand(1, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    pool.commit()
    restored = ImagePool(1, seed=0)
    restored.load_state_dict(pool.state_dict(), CPU)
    new = torch.rand(8, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert asked(pool, new).stride() == asked(restored, new).stride()


def test_pools_of_other_seeds_exchange_differently() -> None:
    first, second = full_pool(seed=0), full_pool(seed=1)
    batch = pictures(*range(20))
    assert numbers(asked(first, batch)) != numbers(asked(second, batch))


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5])
def test_pools_are_dealt_out_to_another_number_of_ranks(num_ranks: int) -> None:
    saved = [pool.state_dict() for pool in (full_pool(4), full_pool(4), ImagePool(4, 0))]
    pools = [ImagePool(4, seed=rank) for rank in range(num_ranks)]
    for rank, pool in enumerate(pools):
        pool.load_share(saved, rank, num_ranks, CPU)
    found = [number for pool in pools for number in kept(pool)]
    assert len(found) == min(8, 4 * num_ranks)
    if num_ranks == 3:  # as many as before: each goes on as it was
        assert [kept(pool) for pool in pools] == [[-4, -3, -2, -1]] * 2 + [[]]
    else:
        assert max(len(kept(pool)) for pool in pools) == min(4, -(-8 // num_ranks))
    for pool in pools:
        asked(pool, pictures(*range(7)))  # styles have gone with their pictures
