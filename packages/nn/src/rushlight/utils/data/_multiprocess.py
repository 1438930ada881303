"""Loading with worker processes.

Every worker has a pipe of its own: a worker that dies can neither block another one nor leave a
lock behind, and the operating system reports its death at once. The main process waits for answers
and for deaths together, so that it never waits for a worker that is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
import weakref
from collections import deque
from multiprocessing import connection as mp_connection
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NoReturn

from rushlight._errors import error
from rushlight.utils.data import _transfer
from rushlight.utils.data._fetch import _shortened
from rushlight.utils.data._iterators import LoaderIterator
from rushlight.utils.data._threads import one_thread_environment
from rushlight.utils.data._worker import (
    NewEpoch,
    Result,
    Task,
    WorkerPlan,
    main_ends,
    worker_main,
)
from rushlight.utils.data.sampler import new_seed

if TYPE_CHECKING:
    from rushlight.utils.data.dataloader import DataLoader

# What fits into a pipe without anybody reading: sending more could block the main process.
_PIPE_BYTES = 1 << 15
_PIPE_MESSAGES = 64
# Seconds a worker has to finish its sample when it is told to stop, and to die when told to.
_PATIENCE = 5.0
_LAST_PATIENCE = 1.0


class _Worker:
    """A worker process, its pipe, and the tasks it has not answered."""

    def __init__(self, context: Any, plan: WorkerPlan) -> None:
        self.id = plan.worker_id
        self.channel: Connection
        self.channel, theirs = context.Pipe(duplex=True)
        main_ends.add(self.channel)
        self._progress = context.RawArray("q", [-1])
        self.process = context.Process(
            target=worker_main,
            args=(plan, theirs, self._progress),
            name=f"rushlight-dataloader-{plan.worker_id}",
            daemon=True,
        )
        try:
            with one_thread_environment():
                self.process.start()
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()  # so that the pipe breaks when the worker ends
        self.tasks: deque[Task] = deque()
        self.exhausted = False
        self._sizes: deque[int] = deque()
        self._unsent: deque[bytes] = deque()

    # Messages go out while they certainly fit into the pipe; the rest waits for answers.

    def assign(self, task: Task) -> None:
        """Hands the worker one more batch to load."""
        self.tasks.append(task)
        self._unsent.append(pickle.dumps(task, pickle.HIGHEST_PROTOCOL))
        self._flush()

    def begin_epoch(self) -> None:
        """Tells the worker that all tasks from now on belong to a new epoch."""
        self.exhausted = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send(NewEpoch())

    def answered(self, result: Result) -> None:
        """Takes the oldest task off the list."""
        self.tasks.popleft()
        self._sizes.popleft()
        self._flush()

    def _flush(self) -> None:
        while self._unsent:
            size = len(self._unsent[0])
            full = len(self._sizes) >= _PIPE_MESSAGES or sum(self._sizes) + size > _PIPE_BYTES
            if self._sizes and full:
                return
            # A worker without tasks is reading, so even a large message will go through.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.channel.send_bytes(self._unsent.popleft())
            self._sizes.append(size)

    def describe(self) -> str:
        """Who it is, and what it is working on."""
        text = f"DataLoader worker {self.id} (pid {self.process.pid})"
        if not self.tasks:
            return f"{text}, which had no batch to load"
        indices = self.tasks[0].indices
        position = self._progress[0]
        if isinstance(indices, list) and 0 <= position < len(indices):
            if indices[position] is None:  # of a stream only the position is known
                return f"{text}, at sample {position} of batch {self.tasks[0].number}"
            text = f"{text}, at sample {indices[position]!r}"
        return f"{text}, working on samples {_shortened(indices)}"

    def stop(self) -> None:
        """Asks the worker to end; a busy one finds out when it has finished its sample."""
        with contextlib.suppress(OSError, ValueError):
            self.channel.close()


class MultiProcessIterator(LoaderIterator):
    """Batches from worker processes."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        self._epoch = 0
        self._next_task = 0
        self._next_result = 0
        self._results: dict[int, Result] = {}
        self._turn = 0
        self._workers: list[_Worker] = []
        self._prefetch = max(1, loader.prefetch_factor or 1)
        # Runs when the iterator is dropped, and when the program ends.
        self._finalizer = weakref.finalize(self, _shut_down, self._workers, os.getpid())
        context = loader.multiprocessing_context or multiprocessing.get_context()
        try:
            for worker_id in range(loader.num_workers):
                self._workers.append(_Worker(context, self._plan(worker_id, context)))
        except BaseException:
            self._finalizer()
            raise
        self._fill()

    def _plan(self, worker_id: int, context: Any) -> WorkerPlan:
        loader = self._loader
        return WorkerPlan(
            worker_id=worker_id,
            num_workers=loader.num_workers,
            base_seed=self._base_seed,
            dataset=loader.dataset,
            auto_collate=loader._auto_collation,
            collate_fn=loader.collate_fn,
            drop_last=loader.drop_last,
            iterable=loader._is_stream,
            init_fn=loader.worker_init_fn,
            forked=context.get_start_method() == "fork",
        )

    def begin_epoch(self) -> bool:
        """Starts over with the same workers; what they still load is discarded."""
        if not self._finalizer.alive or any(not w.process.is_alive() for w in self._workers):
            self.close()
            return False
        self._epoch += 1
        self._next_task = self._next_result = self._yielded = 0
        self._results.clear()
        self._indices = iter(self._index_sampler)
        self._base_seed = new_seed(self._loader.generator)
        for worker in self._workers:
            self._discard_answers(worker)
            worker.begin_epoch()
        self._turn = 0
        self._fill()
        return True

    def _discard_answers(self, worker: _Worker) -> None:
        """Waits until a worker has answered all tasks of an epoch that was left."""
        while worker.tasks:
            self._receive_some([worker], self._deadline())

    # Tasks out, results in ----------------------------------------------------------------

    def _fill(self) -> None:
        """Keeps every worker supplied, in turn."""
        in_flight = self._next_task - self._next_result
        while in_flight < self._prefetch * len(self._workers) and self._assign_next():
            in_flight += 1

    def _assign_next(self) -> bool:
        worker = self._worker_in_turn()
        if worker is None:
            return False
        try:
            indices = next(self._indices)
        except StopIteration:
            return False
        worker.assign(Task(self._epoch, self._next_task, indices))
        self._next_task += 1
        return True

    def _worker_in_turn(self) -> _Worker | None:
        """The next worker that has not come to the end of its stream."""
        candidates = [worker for worker in self._workers if not worker.exhausted]
        if not candidates:
            return None
        if not self._loader.in_order:
            return min(candidates, key=lambda worker: len(worker.tasks))
        count = len(self._workers)
        worker = min(candidates, key=lambda worker: (worker.id - self._turn) % count)
        self._turn = (worker.id + 1) % count
        return worker

    def _next_data(self) -> Any:
        if not self._finalizer.alive:
            raise StopIteration
        deadline = self._deadline()
        while True:
            result = self._ready_result()
            if result is None:
                if self._next_result >= self._next_task:
                    self._finish()
                    raise StopIteration
                self._receive_some(self._workers, deadline)
                continue
            self._next_result += 1
            self._fill()
            if result.exhausted:
                continue
            if result.failure is not None:
                self.close()
                raise result.failure.exception()
            return result.data

    def _ready_result(self) -> Result | None:
        if self._loader.in_order:
            return self._results.pop(self._next_result, None)
        return self._results.pop(next(iter(self._results)), None) if self._results else None

    def _finish(self) -> None:
        if not self._loader.persistent_workers:
            self.close()

    def _deadline(self) -> float | None:
        timeout = self._loader.timeout
        return time.monotonic() + timeout if timeout > 0 else None

    def _receive_some(self, workers: list[_Worker], deadline: float | None) -> None:
        """Takes in what workers have answered, after waiting for at least one answer.

        Raises:
            RuntimeError: A worker with unanswered tasks has died, or the time is up.
        """
        busy = [worker for worker in workers if worker.tasks]
        sources: dict[Any, _Worker] = {}
        for worker in busy:
            sources[worker.channel] = sources[worker.process.sentinel] = worker
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = mp_connection.wait(list(sources), left)
        if not ready:
            self._give_up_on_time()
        for worker in {id(sources[source]): sources[source] for source in ready}.values():
            self._receive_from(worker, worker.channel in ready)

    def _receive_from(self, worker: _Worker, has_answer: bool) -> None:
        # A worker may have answered and died since: an answer in the pipe still counts.
        try:
            if not has_answer and not worker.channel.poll():
                self._report_death(worker)
            result: Result = _transfer.receive(worker.channel)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            self._report_death(worker)
        worker.answered(result)
        if result.epoch != self._epoch:
            return
        if result.exhausted:
            worker.exhausted = True
        self._results[result.number] = result

    def _report_death(self, worker: _Worker) -> NoReturn:
        worker.process.join(_LAST_PATIENCE)
        code = worker.process.exitcode
        description = worker.describe()
        self.close()
        raise error(
            RuntimeError,
            "DataLoader",
            f"a worker process exited unexpectedly with {_exit_text(code)}",
            given=description,
            fix="look for a crash in native code, or for the system killing processes that use "
            "too much memory; num_workers=0 loads in the main process",
        ) from None

    def _give_up_on_time(self) -> None:
        waiting = [worker.describe() for worker in self._workers if worker.tasks]
        timeout = self._loader.timeout
        self.close(patience=0.0)  # they had their time
        raise error(
            RuntimeError,
            "DataLoader",
            f"DataLoader timed out after {timeout} seconds",
            given="; ".join(waiting),
            fix="raise timeout, or find out why these samples take so long",
        )

    def close(self, patience: float = _PATIENCE) -> None:
        """Ends the workers; iteration is over."""
        self._results.clear()
        if self._finalizer.detach() is not None:
            _shut_down(self._workers, os.getpid(), patience)


def _shut_down(workers: list[_Worker], owner: int, patience: float = _PATIENCE) -> None:
    """Ends processes: asks first, then insists."""
    if os.getpid() != owner:  # a forked worker that drops its copy of somebody else's iterator
        return
    for worker in workers:
        worker.stop()
    deadline = time.monotonic() + patience
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
    for end in ("terminate", "kill"):
        alive = [worker for worker in workers if worker.process.is_alive()]
        for worker in alive:
            getattr(worker.process, end)()
        for worker in alive:
            worker.process.join(_LAST_PATIENCE)
    for worker in workers:
        with contextlib.suppress(ValueError):  # one that even SIGKILL has not ended yet
            worker.process.close()
    workers.clear()


def _exit_text(code: int | None) -> str:
    if code is None:
        return "unknown exit code"
    if code < 0:
        try:
            return f"exit code {code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"exit code {code}"
    return f"exit code {code}"
