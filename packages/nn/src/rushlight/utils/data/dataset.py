"""Datasets: by index or as a stream, and datasets made of datasets."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import rushlight
from rushlight import Generator, Tensor
from rushlight._errors import error

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Dataset(Generic[T_co]):
    """Samples by index. Subclasses define `__getitem__`, and usually `__len__`.

    A subclass may also define `__getitems__(indices)`, which returns the samples of a whole batch.

    Example:
        >>> class Squares(rushlight.utils.data.Dataset):
        ...     def __getitem__(self, index):
        ...         return index * index
        ...
        ...     def __len__(self):
        ...         return 10
        >>> Squares()[3]
        9
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(
            f"Subclasses of Dataset should implement __getitem__; {type(self).__name__} does not."
        )

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """Samples as a stream. Subclasses define `__iter__`.

    With several workers every one of them iterates over a copy of its own: divide the stream with
    `get_worker_info()`, or each sample comes once per worker.

    Example:
        >>> class Lines(rushlight.utils.data.IterableDataset):
        ...     def __iter__(self):
        ...         return iter(["a", "b"])
        >>> list(Lines() + Lines())
        ['a', 'b', 'a', 'b']
    """

    def __add__(self, other: Dataset[T_co]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample `i` is the `i`-th entry of each of the tensors.

    Args:
        *tensors: Tensors with the same size of dimension 0.

    Raises:
        AssertionError: The sizes differ.

    Example:
        >>> x, y = rushlight.arange(6).reshape(3, 2), rushlight.arange(3)
        >>> rushlight.utils.data.TensorDataset(x, y)[1]
        (tensor([2, 3]), tensor(1))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        sizes = [tensor.size(0) for tensor in tensors]
        if any(size != sizes[0] for size in sizes):
            raise error(
                AssertionError,
                "TensorDataset",
                "Size mismatch between tensors",
                given=f"sizes {sizes} of dimension 0",
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].size(0))


class StackDataset(Dataset[Any]):
    """Sample `i` is a tuple, or a dict, of the `i`-th samples of several datasets.

    Args:
        *args: Datasets whose samples form a tuple.
        **kwargs: Datasets whose samples form a dict. One kind excludes the other.

    Raises:
        ValueError: Both kinds are given, or none, or the lengths differ.

    Example:
        >>> rushlight.utils.data.StackDataset(image=["i0", "i1"], text=["t0", "t1"])[1]
        {'image': 'i1', 'text': 't1'}
    """

    datasets: tuple[Dataset[Any], ...] | dict[str, Dataset[Any]]

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if args and kwargs:
            raise error(
                ValueError,
                "StackDataset",
                "datasets are given both by position (samples are tuples) and by name (dicts)",
                fix="use one of the two",
            )
        if not (args or kwargs):
            raise error(ValueError, "StackDataset", "At least one dataset should be passed")
        self.datasets = args or kwargs
        lengths = [len(dataset) for dataset in self._all()]  # type: ignore[arg-type]
        if any(length != lengths[0] for length in lengths):
            raise error(
                ValueError,
                "StackDataset",
                "Size mismatch between datasets",
                given=f"lengths {lengths}",
            )
        self._length = lengths[0]

    def _all(self) -> Iterable[Dataset[Any]]:
        return self.datasets.values() if isinstance(self.datasets, dict) else self.datasets

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        columns = [_items("StackDataset", dataset, indices) for dataset in self._all()]
        if isinstance(self.datasets, dict):
            return [
                dict(zip(self.datasets, row, strict=True)) for row in zip(*columns, strict=True)
            ]
        return list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return self._length


def _items(who: str, dataset: Dataset[Any], indices: list[Any]) -> list[Any]:
    """Samples of a batch, in one go if the dataset can."""
    together = getattr(dataset, "__getitems__", None)
    if together is None:
        return [dataset[index] for index in indices]
    items: list[Any] = together(indices)
    if len(items) != len(indices):
        raise error(
            ValueError,
            who,
            "a nested dataset's __getitems__ returned a wrong number of samples",
            given=f"{len(items)} samples for {len(indices)} indices",
        )
    return items


class ConcatDataset(Dataset[T_co]):
    """Datasets end to end.

    Args:
        datasets: The datasets, each with a length.

    Raises:
        AssertionError: There is none, or one of them is iterable.

    Example:
        >>> rushlight.utils.data.ConcatDataset([["a", "b"], ["c"]])[2]
        'c'
    """

    datasets: list[Dataset[T_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise error(AssertionError, "ConcatDataset", "datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise error(
                AssertionError,
                "ConcatDataset",
                "ConcatDataset does not support IterableDataset",
                fix="use ChainDataset",
            )
        lengths = [len(dataset) for dataset in self.datasets]  # type: ignore[arg-type]
        self.cumulative_sizes = list(itertools.accumulate(lengths))

    def __getitem__(self, index: int) -> T_co:
        length = len(self)
        if index < 0:
            if -index > length:
                raise error(
                    ValueError,
                    "ConcatDataset",
                    "absolute value of index should not exceed dataset length",
                    given=f"index {index} of {length} samples",
                )
            index += length
        number = bisect.bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[number - 1] if number else 0
        return self.datasets[number][index - start]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[Any]):
    """Streams end to end.

    Args:
        datasets: The iterable datasets.

    Raises:
        AssertionError: On iteration, if one of them is not iterable.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            _check_stream(dataset)
            yield from dataset  # type: ignore[misc]

    def __len__(self) -> int:
        total = 0
        for dataset in self.datasets:
            _check_stream(dataset)
            total += len(dataset)  # type: ignore[arg-type]
        return total


def _check_stream(dataset: Any) -> None:
    if not isinstance(dataset, IterableDataset):
        raise error(
            AssertionError,
            "ChainDataset",
            "ChainDataset only supports IterableDataset",
            given=f"a {type(dataset).__name__}",
            fix="use ConcatDataset",
        )


class Subset(Dataset[T_co]):
    """Some samples of a dataset.

    Args:
        dataset: The whole.
        indices: Which samples, in which order.

    Example:
        >>> list(rushlight.utils.data.Subset("abcd", [3, 0]))
        ['d', 'a']
    """

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return _items("Subset", self.dataset, [self.indices[index] for index in indices])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T],
    lengths: Sequence[int | float],
    generator: Generator | None = None,
) -> list[Subset[T]]:
    """Divides a dataset at random.

    Args:
        dataset: The dataset.
        lengths: Numbers of samples, or fractions that sum to one. What rounding the fractions down
            leaves over goes to the parts in turn, from the first.
        generator: Source of randomness; the default one if None.

    Raises:
        ValueError: The lengths do not sum to the dataset's, or a fraction is not in [0, 1].

    Example:
        >>> parts = rushlight.utils.data.random_split(range(10), [0.5, 0.3, 0.2])
        >>> [len(part) for part in parts]
        [5, 3, 2]
    """
    total = len(dataset)  # type: ignore[arg-type]
    counts = _counts(lengths, total)
    if sum(counts) != total:
        raise error(
            ValueError,
            "random_split",
            "Sum of input lengths does not equal the length of the input dataset!",
            given=f"lengths {list(lengths)} for {total} samples",
        )
    order = rushlight.randperm(total, generator=generator).tolist()
    ends = itertools.accumulate(counts)
    return [
        Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)
    ]


def _counts(lengths: Sequence[int | float], total: int) -> list[int]:
    """Numbers of samples: the lengths themselves, or what fractions amount to."""
    if not (math.isclose(sum(lengths), 1) and sum(lengths) <= 1):
        return [int(length) for length in lengths]
    for index, fraction in enumerate(lengths):
        if fraction < 0 or fraction > 1:
            raise error(
                ValueError,
                "random_split",
                f"Fraction at index {index} is not between 0 and 1",
                given=f"{fraction}",
            )
    counts = [math.floor(total * fraction) for fraction in lengths]
    for index in range(total - sum(counts)):
        counts[index % len(counts)] += 1
    return counts
