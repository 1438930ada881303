"""What runs in a worker process, and what it tells the main one when something goes wrong."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection as mp_connection
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

import rushlight
from rushlight._errors import Explained
from rushlight.utils.data import _transfer
from rushlight.utils.data._fetch import Fetcher, at_fault
from rushlight.utils.data._threads import use_one_thread

# The main process's ends of all pipes. A forked worker inherits them, and must close them: while
# one worker holds another's end open, that one cannot notice that the main process is gone.
main_ends: weakref.WeakSet[Connection] = weakref.WeakSet()


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this is.

    Attributes:
        id: Its number, from 0 to `num_workers - 1`.
        num_workers: How many there are.
        seed: Its own seed.
        dataset: Its own copy of the dataset.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Which DataLoader worker this process is; None in the main process.

    Example:
        >>> rushlight.utils.data.get_worker_info() is None
        True
    """
    return _worker_info


@dataclass(frozen=True)
class WorkerPlan:
    """What a worker has to know; travels to it when it starts."""

    worker_id: int
    num_workers: int
    base_seed: int
    dataset: Any
    auto_collate: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    iterable: bool
    init_fn: Callable[[int], None] | None
    forked: bool


@dataclass(frozen=True)
class Task:
    """The indices of a batch to load. Numbers of abandoned epochs are recognised by `epoch`."""

    epoch: int
    number: int
    indices: Any


@dataclass(frozen=True)
class NewEpoch:
    """Begin anew: the stream of an iterable dataset starts again."""


@dataclass(frozen=True)
class Result:
    """A batch, or why there is none."""

    epoch: int
    number: int
    data: Any = None
    failure: Failure | None = None
    exhausted: bool = False


@dataclass(frozen=True)
class Failure:
    """An exception in a worker, in a form that survives the way to the main process."""

    kind: type[BaseException]
    text: str
    where: str
    pickled: bytes | None

    @staticmethod
    def of(raised: BaseException, where: str) -> Failure:
        """Describes an exception while its traceback is at hand."""
        text = "".join(traceback.format_exception(raised))
        try:
            pickled = pickle.dumps(raised)
            pickle.loads(pickled)  # some exceptions can be written but not read
        except Exception:
            pickled = None
        return Failure(_sendable_type(type(raised)), text, where, pickled)

    def exception(self) -> BaseException:
        """An exception of the same type that tells where it happened, caused by the original."""
        message = f"Caught {self.kind.__name__} in {self.where}.\nOriginal {self.text}"
        raised: BaseException
        try:
            # KeyError shows the repr of its argument: keep the lines readable.
            raised = self.kind(_Verbatim(message) if issubclass(self.kind, KeyError) else message)
        except Exception:  # a constructor with other arguments
            raised = RuntimeError(message)
        if self.pickled is not None:
            with contextlib.suppress(Exception):
                raised.__cause__ = pickle.loads(self.pickled)
        return raised


def _sendable_type(kind: type[BaseException]) -> type[BaseException]:
    """The type itself or, if it cannot be pickled, the nearest base that can."""
    for base in kind.__mro__:
        if base is Explained or not issubclass(base, BaseException):
            continue
        try:
            pickle.dumps(base)
        except Exception:
            continue
        return base
    return RuntimeError


class _Verbatim(str):
    """A text whose repr is the text."""

    def __repr__(self) -> str:
        return str(self)


def worker_main(plan: WorkerPlan, channel: Connection, progress: Any) -> None:
    """Loads batches until told to stop, or until the main process is gone."""
    if plan.forked:
        for end in list(main_ends):
            with contextlib.suppress(OSError):
                end.close()
    # The main process handles Ctrl-C, and a lost main process needs no report.
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, ConnectionResetError, EOFError):
        _work(plan, channel, progress)
    with contextlib.suppress(OSError):
        channel.close()


def _work(plan: WorkerPlan, channel: Connection, progress: Any) -> None:
    where = f"DataLoader worker process {plan.worker_id} (pid {os.getpid()})"
    fetcher: Fetcher | None = None
    broken: Failure | None = None
    try:
        _prepare(plan)
        fetcher = _new_fetcher(plan)
    except Exception as raised:
        broken = Failure.of(raised, f"{where}, while it started")
    for message in _messages(channel):
        if isinstance(message, NewEpoch):
            if broken is None:
                try:
                    fetcher = _new_fetcher(plan)
                except Exception as raised:
                    broken = Failure.of(raised, f"{where}, while an epoch began")
            continue
        if broken is not None or fetcher is None:
            result = Result(message.epoch, message.number, failure=broken)
        else:
            result = _load(fetcher, message, where, progress)
        _answer(channel, result, message, where)


def _prepare(plan: WorkerPlan) -> None:
    """Threads, seeds, identity, and the user's own preparation."""
    global _worker_info
    use_one_thread()
    seed = plan.base_seed + plan.worker_id
    random.seed(seed)
    rushlight.manual_seed(seed)
    np.random.seed(np.random.SeedSequence([plan.base_seed, plan.worker_id]).generate_state(4))
    _worker_info = WorkerInfo(plan.worker_id, plan.num_workers, seed, plan.dataset)
    if plan.init_fn is not None:
        plan.init_fn(plan.worker_id)


def _new_fetcher(plan: WorkerPlan) -> Fetcher:
    return Fetcher(
        plan.dataset,
        auto_collate=plan.auto_collate,
        collate_fn=plan.collate_fn,
        drop_last=plan.drop_last,
        iterable=plan.iterable,
    )


def _messages(channel: Connection) -> Iterator[Any]:
    """Messages from the main process, until it says stop, closes the pipe or dies."""
    parent = parent_process()
    waited: list[Any] = [channel] if parent is None else [channel, parent.sentinel]
    while True:
        if channel not in mp_connection.wait(waited):
            return
        message = channel.recv()
        if message is None:
            return
        yield message


def _load(fetcher: Fetcher, task: Task, where: str, progress: Any) -> Result:
    def note(position: int) -> None:
        progress[0] = position

    try:
        return Result(task.epoch, task.number, fetcher.fetch(task.indices, note))
    except StopIteration:
        return Result(task.epoch, task.number, exhausted=True)
    except Exception as raised:
        place = f"{where}, while {at_fault(raised, task.indices)}"
        return Result(task.epoch, task.number, failure=Failure.of(raised, place))
    finally:
        note(-1)


def _answer(channel: Connection, result: Result, task: Task, where: str) -> None:
    try:
        _transfer.send(channel, result)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as raised:  # the batch cannot be pickled
        place = f"{where}, while sending the batch of samples {task.indices}"
        failure = Failure.of(raised, place)
        _transfer.send(channel, Result(task.epoch, task.number, failure=failure))
