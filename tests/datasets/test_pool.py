"""The image pool: what it gives back, and how it is saved."""

from __future__ import annotations

import pytest
import torch

from recontrast.datasets.pool import ImagePool
from recontrast.errors import ConfigError


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 3).clone()


def test_a_filling_pool_gives_back_what_it_takes() -> None:
    pool = ImagePool(3)
    assert torch.equal(pool.exchange(images(1, 2)), images(1, 2))
    assert torch.equal(pool.images, images(1, 2))


def test_a_full_pool_gives_back_former_images_about_half_of_the_time() -> None:
    torch.manual_seed(0)
    pool = ImagePool(5)
    pool.exchange(images(*range(5)))
    former = 0
    for number in range(5, 405):
        given = pool.exchange(images(number))[0, 0, 0, 0].item()
        former += given != number
        assert given in {*range(number + 1)}
        assert len(pool.images.unique()) == 5  # nothing is lost or doubled
    assert 160 < former < 240


def test_no_pool_passes_images_through() -> None:
    given = images(1, 2)
    assert ImagePool(0).exchange(given) is given


def test_state_goes_back_and_forth_and_the_choice_follows_the_seed() -> None:
    first, second = ImagePool(2), ImagePool(2)
    first.exchange(images(1, 2))
    second.load_state_dict(first.state_dict())
    for pool in (first, second):
        torch.manual_seed(3)
        pool.exchange(images(3, 4, 5))
    assert torch.equal(first.images, second.images)
    ImagePool(2).load_state_dict(ImagePool(2).state_dict())  # an empty pool, too


def test_wrong_use() -> None:
    with pytest.raises(ConfigError, match="cannot keep -1"):
        ImagePool(-1)
    pool = ImagePool(2)
    pool.exchange(images(1))
    with pytest.raises(ConfigError, match="size of the slices"):
        pool.exchange(torch.zeros(1, 1, 4, 4))
