"""Worker processes: a kernel that crashes, exits or hangs costs its own case and no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from queue import Empty, Queue
from threading import Thread
from typing import Any, BinaryIO

from ._case import Case, Result

#: Seconds for a process to start; imports alone take one, on a busy machine several.
_START = 120.0
_LINES = 15


class Worker:
    """A child process that asks cases; started when it is needed, and again after it died.

    Args:
        device: A device label.
        modules: Imported first; they may register backends.
        timeout: Seconds that a case may take.
    """

    def __init__(self, device: str, modules: Sequence[str] = (), timeout: float = 120.0) -> None:
        self.device = device
        self.modules = tuple(modules)
        self.timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._answers: Queue[bytes] = Queue()
        self._log: BinaryIO | None = None

    def ask(self, case: Case) -> Result:
        """What comes of a case; "crashed" or "hung" where the child did not live to tell."""
        begun = time.perf_counter()
        answer, cause = self._request({"id": case.id, "timeout": self.timeout}, self.timeout)
        if answer is not None:
            return Result(case, **answer)
        outcome, told = cause
        return Result(case, outcome, told, self._logged(), time.perf_counter() - begun)

    def facts(self) -> dict[str, Any]:
        """What the backend says of itself, or why it does not."""
        answer, (_, told) = self._request({"facts": True}, self.timeout)
        return {"cause": told} if answer is None else answer

    def close(self) -> None:
        """Ends the child."""
        self._end()
        if self._log is not None:
            self._log.close()
            self._log = None

    # -- the child -------------------------------------------------------------------------

    def _request(
        self, request: dict[str, Any], timeout: float
    ) -> tuple[dict[str, Any] | None, tuple[str, str]]:
        """The answer, or None and how the child failed to give one."""
        if self._child is None:
            cause = self._start()
            if cause is not None:
                return None, ("crashed", cause)
        child = self._child
        assert child is not None
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        except OSError:
            return None, ("crashed", self._death())
        return self._answer(timeout)

    def _answer(self, timeout: float) -> tuple[dict[str, Any] | None, tuple[str, str]]:
        try:
            line = self._answers.get(timeout=timeout)
        except Empty:
            self._end()
            return None, ("hung", f"no answer within {timeout:g} s")
        if not line:
            return None, ("crashed", self._death())
        found: dict[str, Any] = json.loads(line)
        return found, ("", "")

    def _start(self) -> str | None:
        """Starts a child; says why it can't be used, if it can't."""
        if self._log is None:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._log.seek(0)
        self._log.truncate()
        self._answers = Queue()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "rushlight.testing.conformance._worker", self.device,
             *self.modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            start_new_session=True,
        )  # fmt: skip
        Thread(target=_pump, args=(self._child.stdout, self._answers), daemon=True).start()
        answer, (_, told) = self._answer(_START)
        return f"the worker did not start: {told}" if answer is None else None

    def _death(self) -> str:
        """How the child ended, in words."""
        child = self._child
        assert child is not None
        try:
            code = child.wait(10)
        except subprocess.TimeoutExpired:
            code = 0
        self._end()
        return f"its process {_ending(code)}"

    def _end(self) -> None:
        """Ends the child and what it started."""
        child, self._child = self._child, None
        if child is None:
            return
        if hasattr(os, "killpg"):
            try:
                os.killpg(child.pid, signal.SIGKILL)  # its own session, so also its group
            except (ProcessLookupError, PermissionError):
                pass  # nothing of it is left
        else:
            child.kill()
        child.wait()
        if child.stdin is not None:
            try:
                child.stdin.close()
            except OSError:
                pass  # what was not sent went with the child

    def _logged(self) -> str:
        """What the child wrote last: faulthandler's stack, or what a driver said."""
        if self._log is None:
            return ""
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace")
        lines = [line for line in said.splitlines() if '"<frozen ' not in line]
        starts = [i for i, line in enumerate(lines) if line.startswith(("Fatal", "Timeout"))]
        told = lines[starts[-1] :][:_LINES] if starts else lines[-_LINES:]
        return "\n".join(told)


def _pump(pipe: Any, answers: Queue[bytes]) -> None:
    """Carries lines from a pipe into a queue, and an empty one at the end."""
    for line in pipe:
        answers.put(line)
    answers.put(b"")
    pipe.close()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}"


class Workers:
    """Several workers that share the cases of a step.

    Args:
        count: How many.
        device, modules, timeout: See `Worker`.
    """

    def __init__(self, count: int, device: str, modules: Sequence[str], timeout: float) -> None:
        self._workers = [Worker(device, modules, timeout) for _ in range(count)]

    def ask(
        self,
        cases: Sequence[Case],
        tell: Callable[[Result], bool],
        hopeless: Callable[[Case], str],
    ) -> None:
        """Asks cases in parallel.

        Args:
            cases: The cases; they are begun in order.
            tell: Called with each result as it comes, from the thread of the caller; once it
                returns True no more cases are begun.
            hopeless: Says before a case is begun why it need not be; nothing, if it is to be.
        """
        waiting: Queue[Case] = Queue()
        for case in cases:
            waiting.put(case)
        results: Queue[Result | None] = Queue()
        threads = [
            Thread(target=_serve, args=(worker, waiting, results, hopeless), daemon=True)
            for worker in self._workers
        ]
        for thread in threads:
            thread.start()
        left = len(threads)
        try:
            while left:
                result = results.get()
                if result is None:
                    left -= 1
                elif tell(result):
                    _drain(waiting)
        finally:
            _drain(waiting)

    def facts(self) -> dict[str, Any]:
        """See `Worker.facts`."""
        return self._workers[0].facts()

    def close(self) -> None:
        """Ends all children."""
        for worker in self._workers:
            worker.close()


def _serve(
    worker: Worker,
    waiting: Queue[Case],
    results: Queue[Result | None],
    hopeless: Callable[[Case], str],
) -> None:
    try:
        while True:
            case = waiting.get_nowait()
            reason = hopeless(case)
            results.put(Result(case, "not run", reason) if reason else worker.ask(case))
    except Empty:
        pass
    finally:
        results.put(None)


def _drain(waiting: Queue[Case]) -> None:
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        pass
