"""A sampler that gives each of several processes its share of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rushlight
from rushlight import Generator
from rushlight._errors import error
from rushlight.utils.data.dataset import Dataset
from rushlight.utils.data.sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index, beginning with number `rank`.

    Shares have the same size: indices from the beginning fill the last ones up, or with
    `drop_last` what is over is left out. Call `set_epoch` before every epoch, or all epochs have
    the same order.

    Args:
        dataset: What is sampled.
        num_replicas: Number of processes.
        rank: Number of this process.
        shuffle: Whether the order is random; it is the same in all processes.
        seed: Must be the same in all processes.
        drop_last: Leaves indices out instead of repeating some.

    Raises:
        ValueError: `num_replicas` or `rank` is missing, or `rank` is out of range.

    Example:
        >>> sampler = rushlight.utils.data.DistributedSampler(
        ...     range(7), num_replicas=3, rank=1, shuffle=False
        ... )
        >>> list(sampler)
        [1, 4, 0]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise error(
                ValueError,
                "DistributedSampler",
                "there is no process group that knows the number of processes",
                given=f"num_replicas={num_replicas}, rank={rank}",
                fix="pass both",
            )
        if rank >= num_replicas or rank < 0:
            raise error(
                ValueError,
                "DistributedSampler",
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]",
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        length = len(dataset)  # type: ignore[arg-type]
        self.num_samples = length // num_replicas if drop_last else -(-length // num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        length = len(self.dataset)  # type: ignore[arg-type]
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = rushlight.randperm(length, generator=generator).tolist()
        else:
            indices = list(range(length))
        if indices and len(indices) < self.total_size:
            times = -(-self.total_size // len(indices))
            indices = indices * times
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Sets the number of the epoch, which with `seed` makes the order."""
        self.epoch = epoch
