"""`python -m rushlight.testing NAME`: the conformance suite on a device, and its scorecard.

Each case runs in a worker process: what crashes or hangs costs its own case.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from .._device import device as Device
from .conformance._case import BAD, STAGES, Result
from .conformance._expected import expected_of
from .conformance._pages import as_json, badge, markdown
from .conformance._run import cases, run
from .conformance._scorecard import Scorecard

#: So many failures are told in full; the rest is in the JSON file.
_SHOWN = 20
_LINES = 6


class Terminal:
    """Progress as the results come.

    Args:
        total: How many cases there are.
    """

    def __init__(self, total: int) -> None:
        self.total, self.count, self.bad, self.told = total, 0, 0, 0
        self.stage = ""
        self.live = sys.stderr.isatty()
        self.drawn = 0.0

    def __call__(self, result: Result) -> None:
        """Tells one result."""
        self.count += 1
        if result.case.stage != self.stage:
            self.stage = result.case.stage
            self.say(f"{self.stage} ...")
        if result.outcome in BAD:
            self.bad += 1
            if result.outcome != "missing":  # told together at the end: a young backend lacks many
                self.told += 1
                if self.told <= _SHOWN:
                    self.say(failure(result))
                elif self.told == _SHOWN + 1:
                    self.say("(further failures are counted; --json FILE has them all)")
        if self.live and time.monotonic() - self.drawn > 0.1:
            self.drawn = time.monotonic()
            line = f"{self.count} of {self.total}, {self.bad} not right: {result.case.id}"
            print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Prints a line above the progress."""
        self.clear()
        print(text, flush=True)

    def clear(self) -> None:
        """Takes the progress away."""
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def failure(result: Result) -> str:
    """A failure in a few lines."""
    lines = result.reason.splitlines()
    told = [f"  {result.outcome.upper()} {result.case.id}: {lines[0] if lines else ''}"]
    told += [f"    {line}" for line in lines[1:_LINES]]
    if result.outcome in ("crashed", "hung"):
        told += [f"    {line}" for line in result.details.splitlines()[:_LINES]]
    return "\n".join(told)


def summary(card: Scorecard, seconds: float) -> str:
    """The scorecard for people."""
    passed, applicable = card.passed()
    lines = ["", card.text(), ""]
    reasons = {r.reason for r in card.results if r.outcome == "expected"}
    lines += [f"expected to fail: {reason}" for reason in sorted(reasons)]
    absent = [r.case.operator or "" for r in card.results if r.outcome == "missing"]
    if absent:
        told = f"missing kernels: {', '.join(dict.fromkeys(absent))}"
        lines += textwrap.wrap(told, 100, subsequent_indent="  ", break_long_words=False)
    lines += [f"PROBLEM: {problem}" for problem in card.problems]
    broken = next((r.reason for r in card.results if r.outcome == "not run"), "")
    if broken:
        lines.append(f"not all was run: {broken} (--keep-going asks the rest all the same)")
    verdict = "conforms" if card.ok else "does NOT conform"
    lines.append(
        f"{card.device} {verdict}: {passed} of {applicable} cases passed at level {card.level}, "
        f"in {seconds:.0f} s"
    )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rushlight.testing",
        description="Asks the conformance suite of a device. Exit status 0: all is as it should.",
    )
    add = parser.add_argument
    add("device", metavar="NAME", help="device, such as cpu or sim:1")
    add("--level", type=int, choices=(1, 2, 3), default=3,
        help="1: a minute; 2: every stage, few dtypes; 3: everything (default)")  # fmt: skip
    add("--stage", action="append", choices=STAGES, help="only this stage (may be repeated)")
    add("--operator", action="append", metavar="OP", help="only this operator (may be repeated)")
    add("-k", dest="keyword", default="", metavar="TEXT", help="only cases whose id contains TEXT")
    add("--jobs", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    add("--timeout", type=float, default=120.0, metavar="SECONDS",
        help="time a case may take (default: 120)")  # fmt: skip
    add("--keep-going", action="store_true", help="do not stop at a broken stage")
    add("--import", dest="modules", action="append", default=[], metavar="MODULE",
        help="import this first; it may register the backend")  # fmt: skip
    add("--xfails", metavar="FILE", help="expected failures, instead of the backend's xfails.txt")
    add("--list", action="store_true", help="print the ids of the cases, and run none")
    add("--json", metavar="FILE", help="write all results")
    add("--markdown", metavar="FILE", help="write the coverage table")
    add("--badge", metavar="FILE", help="write an SVG badge")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the suite as the command line says; the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.timeout <= 0 or chosen.jobs < 1:
        parser.error("--timeout and --jobs must be positive")
    which: dict[str, Any] = {
        "stages": chosen.stage, "operators": chosen.operator, "keyword": chosen.keyword,
        "level": chosen.level,
    }  # fmt: skip
    found = cases(**which)
    if not found:
        parser.error("no case is left by --stage, --operator, -k and --level")
    if chosen.list:
        print("\n".join(case.id for case in found))
        return 0
    terminal = Terminal(len(found))
    begun = time.monotonic()
    card = run(
        chosen.device,
        **which,
        keep_going=chosen.keep_going,
        isolate=True,
        jobs=chosen.jobs,
        timeout=chosen.timeout,
        modules=chosen.modules,
        expected=expected_of(Device(chosen.device).type, chosen.xfails),
        listener=terminal,
    )
    terminal.clear()
    print(summary(card, time.monotonic() - begun))
    write(card, chosen)
    return 0 if card.ok else 1


def write(card: Scorecard, chosen: Any) -> None:
    """Writes the files that were asked for."""
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(as_json(card), indent=1) + "\n", "utf-8")
    if chosen.markdown:
        Path(chosen.markdown).write_text(markdown(card), "utf-8")
    if chosen.badge:
        Path(chosen.badge).write_text(badge(card), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
