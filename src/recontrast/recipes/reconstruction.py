"""Learning without a target: blocks of the source are hidden, and the network gives back what stood there.

K. He et al., Masked autoencoders are scalable vision learners, CVPR 2022, p. 15979: most of the image is hidden, and
only what was hidden counts. There a transformer skips what is hidden; a convolutional network sees zeros in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.losses import LOSSES
from recontrast.recipes import RECIPES, Turn


@RECIPES.register("reconstruction")
class Reconstruction(nn.Module):
    """One network that sees its source with blocks cut out, and is told what they held.

    All channels of the source are hidden in the same blocks, but the blurred ones (`data.context_voxels`) were blurred
    before, so that outside of a block they tell of its mean. The loss counts voxels that are hidden and in the head.

    Args:
        network: Maps sources (B, C, I, J[, K]) to the target's grid, one channel.
        loss: Name of a loss in `recontrast.losses` ("mse", "l1").
        block: Side of a block, voxels.
        hidden: Share of the blocks that is hidden, above 0 and below 1.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> recipe = Reconstruction(network=nn.Conv2d(1, 1, 1), block=4)
        >>> recipe.predict(torch.zeros(1, 1, 8, 8)).shape
        torch.Size([1, 1, 8, 8])
    """

    paired = True

    reconstructs = True
    """The target is the source: a training is given none, and its network is a beginning for others, no translator."""

    def __init__(self, *, network: nn.Module, loss: str = "l1", block: int = 16, hidden: float = 0.5) -> None:
        super().__init__()
        if block < 1 or not 0 < hidden < 1:
            raise ConfigError(
                "recipe reconstruction: block must be at least 1 voxel and hidden lie between 0 and 1, "
                f"got {block} and {hidden:g}"
            )
        self.network = network
        self.loss = LOSSES.build(loss)
        self.loss_name, self.block, self.hidden = loss, block, hidden

    def optimized(self) -> dict[str, list[nn.Module]]:
        """One optimiser, for the network."""
        return {"network": [self.network]}

    def training_step(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the loss in blocks that are drawn anew."""
        hidden = hidden_blocks(len(batch.source), batch.source.shape[2:], self.block, self.hidden)
        hidden = hidden.to(batch.source.device)
        estimate = self.network(batch.source.masked_fill(hidden, 0.0))
        with torch.autocast(estimate.device.type, enabled=False):
            loss = self.loss(batch.target, estimate, hidden & batch.mask)
        yield Turn("network", loss, {self.loss_name: loss.detach()})

    def predict(self, source: Tensor) -> Tensor:
        """What the network makes of a source (B, C, I, J[, K]) of which nothing is hidden, float32."""
        result: Tensor = self.network(source)
        return result.float()


def hidden_blocks(images: int, size: Sequence[int], block: int, share: float) -> Tensor:
    """Which voxels are hidden: cubes (squares) on a lattice that lies elsewhere in each image, drawn by PyTorch.

    Args:
        images: How many.
        size: Spatial size.
        block: Side of a block, voxels.
        share: Probability of each block to be hidden.

    Returns:
        (images, 1, *size), bool.

    Example:
        >>> hidden_blocks(2, (20, 30), 8, 0.5).shape
        torch.Size([2, 1, 20, 30])
    """
    found = []
    for _ in range(images):
        hidden = torch.rand([-(-length // block) + 1 for length in size]) < share
        for axis, length in enumerate(size):
            hidden = hidden.index_select(axis, (torch.arange(length) + torch.randint(block, (1,))) // block)
        found.append(hidden)
    return torch.stack(found)[:, None]
