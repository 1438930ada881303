"""Trying a backend in a child process, for `python -m rushlight`.

A plugin that crashes, exits or hangs takes its own process with it, and no more than its own line
of the report.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ._report import advice

#: The child writes where it hangs at this part of its time.
_STACK_AT = 0.9
_LINES = 12
#: Seconds after which the kernel ends a child whose parent has not.
_GRACE = 5


def probe(kind: str, timeout: float) -> dict[str, Any]:
    """What a child process finds out about a backend.

    Args:
        kind: The device type.
        timeout: Seconds after which the child is ended.
    Returns:
        As `described_backend`, with the status "crashed" or "timeout" where the child did not live
        to tell.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder, "answer.json"), Path(folder, "log.txt")
        # Files, not pipes: a grandchild that lives on would keep a pipe open.
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "rushlight", "--probe", kind,
                 "--answer", str(answer), "--timeout", str(timeout),
                 "--begun", str(time.time())],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            late = False
            try:
                code = child.wait(timeout)
            except subprocess.TimeoutExpired:
                late, code = True, 0
            finally:
                _end(child)
        said = log.read_text("utf-8", "replace")
        if not late and answer.is_file():
            found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
            return found
    cause = f"did not answer within {timeout:g} s" if late else f"the process {_ending(code)}"
    status = "timeout" if late else "crashed"
    return {"status": status, "cause": cause, "fix": advice(kind), "traceback": _telling(said)}


def _telling(said: str) -> str:
    """The lines of a child's output that say where it ended."""
    lines = [line for line in said.splitlines() if '"<frozen ' not in line]
    starts = [i for i, line in enumerate(lines) if line.endswith("(most recent call first):")]
    # A stack begins with the line in question; other output ends with it.
    told = lines[starts[-1] :][:_LINES] if starts else lines[-_LINES:]
    return "\n".join(told)


def answer_probe(found: dict[str, Any], answer: str) -> None:
    """Writes a child's findings, all at once."""
    part = Path(answer + ".part")
    part.write_text(json.dumps(found, default=str), "utf-8")
    part.replace(answer)


def watch_time(timeout: float, begun: float) -> None:
    """Lets a child write where it hangs, shortly before its time is over, and ends it soon after.

    The parent ends it too; but the parent may be gone by then.

    Args:
        timeout: Seconds it has.
        begun: When its parent started it, in seconds since the epoch: on a busy machine the
            imports before this call take a good part of the time.
    """
    import faulthandler

    left = begun + timeout * _STACK_AT - time.time()
    faulthandler.dump_traceback_later(max(left, 0.1), exit=False)
    if hasattr(signal, "alarm"):
        signal.alarm(max(math.ceil(begun + timeout - time.time()), 0) + _GRACE)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends a child and what it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(child.pid, signal.SIGKILL)  # its own session, so also its group
        except (ProcessLookupError, PermissionError):
            pass  # nothing of it is left
    else:
        child.kill()
    child.wait()


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code} while it tried the backend"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name} while it tried the backend"
