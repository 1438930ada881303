"""Samplers: in which order, and in which batches, a dataset is read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import rushlight
from rushlight import Generator
from rushlight._errors import error

T_co = TypeVar("T_co", covariant=True)

# How many indices are drawn at a time when they are drawn with replacement.
_CHUNK = 32


def check_positive(who: str, name: str, value: Any) -> None:
    """Refuses everything but positive integers; a bool is none."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise error(
            ValueError, who, f"{name} should be a positive integer value, but got {name}={value}"
        )


class Sampler(Generic[T_co]):
    """Base class of samplers. Subclasses define `__iter__`, over indices or lists of them."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__()")


class SequentialSampler(Sampler[int]):
    """All indices in order.

    Args:
        data_source: What is sampled.
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices at random.

    Args:
        data_source: What is sampled.
        replacement: Whether an index may come again before all have come.
        num_samples: How many indices are drawn; all by default. Without replacement, more than all
            means further passes, each in another order.
        generator: Source of randomness; by default a new one, seeded by the default one.

    Raises:
        TypeError: `replacement` is no bool.
        ValueError: `num_samples` is not positive.

    Example:
        >>> sorted(rushlight.utils.data.RandomSampler(range(4)))
        [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise error(
                TypeError,
                "RandomSampler",
                f"replacement should be a boolean value, but got replacement={replacement}",
            )
        check_positive("RandomSampler", "num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices are drawn; the length of the source may change in between."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = self.generator
        if generator is None:
            generator = Generator()
            generator.manual_seed(new_seed())
        size = len(self.data_source)
        if self.replacement:
            indices = _drawn_again_and_again(size, generator)
        else:
            indices = itertools.chain.from_iterable(
                rushlight.randperm(size, generator=generator).tolist() for _ in itertools.count()
            )
        return itertools.islice(indices, self.num_samples)

    def __len__(self) -> int:
        return self.num_samples


def new_seed(generator: Generator | None = None) -> int:
    """A seed drawn from a generator, the default one if None."""
    drawn = rushlight.empty((), dtype=rushlight.int64).random_(generator=generator)
    return int(drawn.item())


def _drawn_again_and_again(size: int, generator: Generator) -> Iterator[int]:
    while True:
        drawn = rushlight.randint(size, (_CHUNK,), dtype=rushlight.int64, generator=generator)
        yield from drawn.tolist()


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order.

    Args:
        indices: The indices.
        generator: Source of randomness; the default one if None.
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for position in rushlight.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[position]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices with given probabilities.

    Args:
        weights: One weight per index; they need not sum to one.
        num_samples: How many indices are drawn.
        replacement: Whether an index may come again.
        generator: Source of randomness; the default one if None.

    Raises:
        ValueError: `num_samples` is not positive, `replacement` no bool, or the weights no vector.

    Example:
        >>> list(rushlight.utils.data.WeightedRandomSampler([0.0, 1.0], num_samples=3))
        [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        who = "WeightedRandomSampler"
        check_positive(who, "num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise error(
                ValueError,
                who,
                f"replacement should be a boolean value, but got replacement={replacement}",
            )
        vector = rushlight.as_tensor(weights, dtype=rushlight.float64)
        if vector.dim() != 1:
            raise error(
                ValueError,
                who,
                "weights should be a 1d sequence but given weights have shape "
                f"{tuple(vector.shape)}",
            )
        self.weights = vector
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = rushlight.multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of indices out of another sampler.

    Args:
        sampler: Yields indices.
        batch_size: How many make a batch.
        drop_last: Whether a last, smaller batch is left out.

    Raises:
        ValueError: `batch_size` is not positive or `drop_last` no bool.

    Example:
        >>> list(rushlight.utils.data.BatchSampler(range(5), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool
    ) -> None:
        check_positive("BatchSampler", "batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise error(
                ValueError,
                "BatchSampler",
                f"drop_last should be a boolean value, but got drop_last={drop_last}",
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
