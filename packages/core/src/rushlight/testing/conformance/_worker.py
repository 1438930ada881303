"""The child: asks cases of a device one by one, as its parent names them.

    python -m rushlight.testing.conformance._worker DEVICE [MODULE ...]

A line of JSON comes in for each request and one goes out: `{"id": ..., "timeout": ...}` for a case,
`{"facts": true}` for what the backend says of itself.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
from typing import Any

#: The child writes where it hangs at this part of its time.
_STACK_AT = 0.9


def main(device: str, modules: list[str]) -> None:
    """Answers until there are no more requests."""
    # What kernels and drivers print goes to the log, so that answers come alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.enable()
    for name in modules:
        importlib.import_module(name)
    from ._asking import ask
    from ._catalogue import catalogue
    from ._facts import facts_of

    cases = {case.id: case for case in catalogue()}

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()

    say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if "facts" in request:
            say(facts_of(device))
            continue
        faulthandler.dump_traceback_later(max(request["timeout"] * _STACK_AT, 0.1))
        result = ask(cases[request["id"]], device)
        faulthandler.cancel_dump_traceback_later()
        say(
            {
                "outcome": result.outcome,
                "reason": result.reason,
                "details": result.details,
                "seconds": result.seconds,
            }
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
