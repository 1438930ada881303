"""The DataLoader: its arguments, and which batches it asks for."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.context
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from rushlight import Generator
from rushlight._errors import error
from rushlight.utils.data._iterators import LoaderIterator, SingleProcessIterator
from rushlight.utils.data._multiprocess import MultiProcessIterator
from rushlight.utils.data._worker import get_worker_info as get_worker_info
from rushlight.utils.data.collate import default_collate as default_collate
from rushlight.utils.data.collate import default_convert as default_convert
from rushlight.utils.data.dataset import Dataset, IterableDataset
from rushlight.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

T_co = TypeVar("T_co", covariant=True)

# What an iterator has relied on cannot be changed any more.
_FIXED = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class _EndlessSampler(Sampler[None]):
    """Stands in for indices where the dataset is a stream."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader(Generic[T_co]):
    """Batches from a dataset, loaded here or by worker processes.

    With workers, the order of batches depends on the seed alone, not on their number. Workers
    end with the iterator, with the loader (`persistent_workers`) or with the program, in whatever
    way it ends. An exception in a worker is raised here with its type, the worker, the sample and
    the original traceback; a worker that was killed, or did not answer within `timeout`, gives a
    RuntimeError that names it and what it was working on.

    Args:
        dataset: Samples by index, or a stream.
        batch_size: Samples per batch; None to get samples as they are.
        shuffle: Whether the order is random, and another in every epoch.
        sampler: Yields the indices instead.
        batch_sampler: Yields lists of indices instead.
        num_workers: Worker processes; 0 to load in this one.
        collate_fn: Makes a batch out of a list of samples.
        pin_memory: Copies batches to memory from which an accelerator reads faster.
        drop_last: Leaves out a last, smaller batch.
        timeout: Seconds to wait for a batch from a worker; 0 to wait as long as it lives.
        worker_init_fn: Called in each worker with its number.
        multiprocessing_context: A start method, or a context of `multiprocessing`; None for the
            system's default.
        generator: Source of the random order and of the workers' seeds.
        prefetch_factor: Batches each worker loads in advance; 2 by default.
        persistent_workers: Keeps the workers from epoch to epoch.
        pin_memory_device: Deprecated, without effect.
        in_order: Whether batches come in the sampler's order; otherwise whichever is ready first.

    Raises:
        ValueError: Arguments are out of range or exclude each other.
        TypeError: `multiprocessing_context` is neither a text nor a context.

    Example:
        >>> data = rushlight.utils.data
        >>> loader = data.DataLoader(data.TensorDataset(rushlight.arange(5)), batch_size=2)
        >>> [batch.tolist() for (batch,) in loader]
        [[0, 1], [2, 3], [4]]
    """

    __initialized = False

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self._is_stream = isinstance(dataset, IterableDataset)
        if self._is_stream:
            _check_stream_arguments(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise error(
                ValueError, "DataLoader", "sampler option is mutually exclusive with shuffle"
            )
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise error(
                    ValueError,
                    "DataLoader",
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, "
                    "sampler, and drop_last",
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise error(
                ValueError,
                "DataLoader",
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last",
            )
        if sampler is None:
            sampler = self._default_sampler(bool(shuffle), generator)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self.__initialized = True
        self._reported_length: int | None = None
        self._iterator: LoaderIterator | None = None
        self.check_worker_number_rationality()

    def _default_sampler(self, shuffle: bool, generator: Generator | None) -> Sampler[Any]:
        if self._is_stream:
            return _EndlessSampler()
        if shuffle:
            return RandomSampler(self.dataset, generator=generator)  # type: ignore[arg-type]
        return SequentialSampler(self.dataset)  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__initialized and name in _FIXED:
            raise error(
                ValueError,
                "DataLoader",
                f"{name} attribute should not be set after DataLoader is initialized",
                fix="make a new DataLoader",
            )
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> Any:
        """The context in which workers start; None for the system's default."""
        return self._multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            context = _checked_context(context, self.num_workers)
        self._multiprocessing_context = context

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        """What yields the indices of a batch, or of a sample without automatic collation."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> LoaderIterator:
        if not (self.persistent_workers and self.num_workers > 0):
            return self._new_iterator()
        if self._iterator is None or not self._iterator.begin_epoch():
            self._iterator = self._new_iterator()
        return self._iterator

    def _new_iterator(self) -> LoaderIterator:
        if self.num_workers == 0:
            return SingleProcessIterator(self)
        self.check_worker_number_rationality()
        return MultiProcessIterator(self)

    def __len__(self) -> int:
        """Number of batches; of a stream, as its own length promises."""
        if not self._is_stream:
            return len(self._index_sampler)
        length = self._reported_length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warns of more workers than there are processors for this process."""
        if not self.num_workers:
            return
        try:
            available = len(os.sched_getaffinity(0))
        except AttributeError:  # not every system tells
            available = os.cpu_count() or 0
        if available and self.num_workers > available:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {available}: more of them "
                "compete for processors and can make loading slower",
                stacklevel=3,
            )


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    def refuse(summary: str, fix: str | None = None) -> Exception:
        return error(ValueError, "DataLoader", summary, fix=fix)

    if num_workers < 0:
        raise refuse(
            "num_workers option should be non-negative",
            "use num_workers=0 to disable multiprocessing",
        )
    if timeout < 0:
        raise refuse("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise refuse(
            "prefetch_factor option could only be specified in multiprocessing",
            "let num_workers > 0, or leave prefetch_factor at None",
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise refuse("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise refuse("persistent_workers option needs num_workers > 0")


def _check_stream_arguments(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    """A stream has its own order."""
    given = {"sampler": sampler, "batch_sampler": batch_sampler}
    unexpected = {name: value for name, value in given.items() if value is not None}
    if shuffle not in (None, False):
        unexpected = {"shuffle": shuffle, **unexpected}
    for name, value in unexpected.items():
        raise error(
            ValueError,
            "DataLoader",
            f"DataLoader with IterableDataset: expected unspecified {name} option, "
            f"but got {name}={value}",
        )


def _checked_context(context: Any, num_workers: int) -> Any:
    who = "DataLoader"
    if num_workers <= 0:
        raise error(
            ValueError,
            who,
            "multiprocessing_context can only be used with multi-process loading "
            f"(num_workers > 0), but got num_workers={num_workers}",
        )
    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise error(
                ValueError,
                who,
                "multiprocessing_context option should specify a valid start method in "
                f"{methods}, but got multiprocessing_context={context!r}",
            )
        return multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise error(
            TypeError,
            who,
            "multiprocessing_context option should be a valid context object or a string "
            f"specifying the start method, but got multiprocessing_context={context}",
        )
    return context
