"""Fetching the samples of one batch, in whichever process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_PLACE = "_rushlight_sample_at_fault"


def _ignore(position: int) -> None:
    """Nobody wants to know how far the batch is."""


class Fetcher:
    """Loads batches from a dataset.

    Args:
        dataset: By index, or a stream.
        auto_collate: Whether a batch is a list of samples to collate, or a single one.
        collate_fn: Makes a batch out of samples.
        drop_last: Whether a smaller batch at the end of a stream is left out.
        iterable: Whether the dataset is a stream.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        auto_collate: bool,
        collate_fn: Callable[[Any], Any],
        drop_last: bool,
        iterable: bool,
    ) -> None:
        self._dataset = dataset
        self._auto_collate = auto_collate
        self._collate = collate_fn
        self._drop_last = drop_last
        self._stream: Iterator[Any] | None = iter(dataset) if iterable else None
        self._ended = False

    def fetch(self, indices: Any, note: Callable[[int], None] = _ignore) -> Any:
        """The batch of the given indices; of a stream, as many samples as there are indices.

        Args:
            indices: A list, or a single index without automatic collation.
            note: Is told the position in the batch before each sample.

        Raises:
            StopIteration: The stream has ended.
        """
        if not self._auto_collate:
            sample = self._sample(indices)
            return self._collated(sample, indices)
        if self._stream is not None:
            samples = self._next_samples(len(indices), note)
        elif hasattr(self._dataset, "__getitems__") and self._dataset.__getitems__:
            samples = self._dataset.__getitems__(indices)
        else:
            samples = []
            for position, index in enumerate(indices):
                note(position)
                samples.append(self._sample(index))
        return self._collated(samples, indices)

    def _sample(self, index: Any) -> Any:
        if self._stream is not None:
            return self._next_samples(1, _ignore)[0]
        try:
            return self._dataset[index]
        except Exception as raised:
            _blame(raised, f"fetching sample {index!r}")
            raise

    def _next_samples(self, count: int, note: Callable[[int], None]) -> list[Any]:
        if self._ended or self._stream is None:
            raise StopIteration
        samples: list[Any] = []
        for position in range(count):
            note(position)
            try:
                samples.append(next(self._stream))
            except StopIteration:
                self._ended = True
                if not samples or self._drop_last:
                    raise
                break
        return samples

    def _collated(self, samples: Any, indices: Any) -> Any:
        try:
            return self._collate(samples)
        except StopIteration as raised:  # must not look like the end of the stream
            raise RuntimeError("collate_fn raised StopIteration") from raised
        except Exception as raised:
            _blame(raised, f"collating samples {_shortened(indices)}")
            raise


def _blame(raised: Exception, place: str) -> None:
    """Notes where an exception happened; it is told again by whoever reports it."""
    if not hasattr(raised, _PLACE):
        try:
            setattr(raised, _PLACE, place)
        except AttributeError:  # an exception class with slots
            return


def at_fault(raised: Exception, indices: Any) -> str:
    """Which sample an exception is about, as far as it is known."""
    place = getattr(raised, _PLACE, "")
    batch = f"fetching samples {_shortened(indices)}"
    if not place:
        return batch
    raised.__dict__.pop(_PLACE, None)
    return f"{place} of the batch {_shortened(indices)}" if "sample " in place else place


def _shortened(indices: Any) -> str:
    """A list of indices, of which very long ones show only the ends."""
    if isinstance(indices, list) and len(indices) > 20:
        head = ", ".join(map(repr, indices[:8]))
        tail = ", ".join(map(repr, indices[-4:]))
        return f"[{head}, ..., {tail}] ({len(indices)} in all)"
    return repr(indices)
