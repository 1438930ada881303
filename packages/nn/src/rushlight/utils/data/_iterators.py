"""Iterating over a DataLoader: what is common, and loading in the main process."""

from __future__ import annotations

import collections.abc
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rushlight
from rushlight._errors import error
from rushlight.utils.data._fetch import Fetcher
from rushlight.utils.data.sampler import new_seed

if TYPE_CHECKING:
    from rushlight.utils.data.dataloader import DataLoader


class LoaderIterator(Iterator[Any]):
    """Base class of the iterators over a DataLoader."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        self._index_sampler = loader._index_sampler
        self._indices = iter(self._index_sampler)
        # Drawn with and without workers alike, so that both leave the generator in one state.
        self._base_seed = new_seed(loader.generator)
        self._yielded = 0
        self._pins = loader.pin_memory and _can_pin()

    def __iter__(self) -> LoaderIterator:
        return self

    def __next__(self) -> Any:
        data = self._next_data()
        self._yielded += 1
        self._warn_if_stream_is_longer()
        return pinned(data) if self._pins else data

    def _next_data(self) -> Any:
        raise NotImplementedError

    def begin_epoch(self) -> bool:
        """Starts over, if that is possible with the same workers."""
        return False

    def __len__(self) -> int:
        return len(self._index_sampler)

    def _warn_if_stream_is_longer(self) -> None:
        loader = self._loader
        reported = loader._reported_length
        if not loader._is_stream or reported is None:
            return
        batches = len(loader) if loader.batch_size is not None else reported
        if self._yielded > batches:
            warnings.warn(
                f"Length of IterableDataset {loader.dataset} was reported to be {reported} (when "
                f"accessing len(dataloader)), but {self._yielded} batches have been fetched. "
                "With several workers the dataset must divide its samples among them: see "
                "get_worker_info",
                stacklevel=3,
            )


class SingleProcessIterator(LoaderIterator):
    """Loads batches when they are asked for."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        if loader.timeout != 0:
            raise error(
                AssertionError,
                "DataLoader",
                "timeout needs worker processes",
                given=f"timeout={loader.timeout}, num_workers=0",
                fix="use timeout=0 or num_workers > 0",
            )
        super().__init__(loader)
        self._fetcher = Fetcher(
            loader.dataset,
            auto_collate=loader._auto_collation,
            collate_fn=loader.collate_fn,
            drop_last=loader.drop_last,
            iterable=loader._is_stream,
        )

    def _next_data(self) -> Any:
        return self._fetcher.fetch(next(self._indices))


def _can_pin() -> bool:
    accelerator = getattr(rushlight, "accelerator", None)
    if accelerator is not None and accelerator.is_available():
        return True
    warnings.warn(
        "'pin_memory' argument is set as true but no accelerator is found, then device pinned "
        "memory won't be used.",
        stacklevel=4,
    )
    return False


def pinned(data: Any) -> Any:
    """A batch whose tensors lie in pinned memory; whatever else is in it stays."""
    if isinstance(data, (str, bytes)):
        return data
    if hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, collections.abc.Mapping):
        return {key: pinned(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(pinned(item) for item in data))
    if isinstance(data, collections.abc.Sequence):
        return [pinned(item) for item in data]
    return data
