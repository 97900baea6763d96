"""Former synthetic images, kept so that a discriminator does not forget them.

A. Shrivastava et al., Learning from simulated and unsupervised images through adversarial training, CVPR 2017, 2.3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recontrast.errors import ConfigError


class ImagePool(nn.Module):
    """Keeps a number of former images; they are saved with the weights, so a resumed run goes on with the same ones.

    Args:
        size: How many images are kept; 0: none, new images pass through.

    Example:
        >>> pool = ImagePool(2)
        >>> pool.exchange(torch.zeros(3, 1, 4, 4)).shape
        torch.Size([3, 1, 4, 4])
    """

    images: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 0:
            raise ConfigError(f"the image pool cannot keep {size} images; 0 turns it off")
        self.size = size
        self.register_buffer("images", torch.zeros(0))

    def exchange(self, images: Tensor) -> Tensor:
        """Take new images in; give back as many, new or former.

        While the pool is not full an image is kept and given back. Later it is given back with probability one half,
        or takes the place of a former one, which is given back. The choice follows torch's generator.

        Args:
            images: (B, C, I, J[, K]), without a graph.

        Raises:
            ConfigError: They are of another size than those that are kept.
        """
        if not self.size:
            return images
        if len(self.images) and self.images.shape[1:] != images.shape[1:]:
            raise ConfigError(
                f"the image pool holds images of {tuple(self.images.shape[1:])}, new ones are "
                f"{tuple(images.shape[1:])}; was the size of the slices changed?"
            )
        chosen = []
        for image in images:
            if len(self.images) < self.size:
                kept = self.images if len(self.images) else image.new_zeros(0, *image.shape)
                self.images = torch.cat([kept, image[None]])
                chosen.append(image)
            elif float(torch.rand(())) < 0.5:
                place = int(torch.randint(self.size, ()))
                chosen.append(self.images[place].clone())
                self.images[place] = image
            else:
                chosen.append(image)
        return torch.stack(chosen)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        stored = state_dict.get(f"{prefix}images")
        if stored is not None:  # as many images, of whatever size, as were kept
            self.images = torch.empty_like(stored, device=self.images.device)
        super()._load_from_state_dict(state_dict, prefix, *others)
