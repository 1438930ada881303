"""`python -m rushlight.testing.mutation`: is every defect noticed by the suite?"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from ..._errors import error
from . import DEFECTS, Defect
from ._harness import Verdict, serve, survey
from ._page import page


def main() -> int:
    """Returns 0 if at least 95 % of the defects are killed and sound devices pass."""
    parser = argparse.ArgumentParser(
        prog="python -m rushlight.testing.mutation", description=__doc__
    )
    parser.add_argument("names", nargs="*", help="defects to plant; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as a page")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    defects = chosen(options.names)
    controls, verdicts = survey(defects, options.jobs, shown)
    failing = [
        (kind, case, told) for kind, made in controls.items() for case, told in made.failing.items()
    ]
    if options.json:
        rows = [asdict(verdict) for verdict in verdicts]
        print(json.dumps({"verdicts": rows, "control": failing}, indent=1))
    else:
        print(summary(verdicts, failing))
    if options.markdown is not None:
        options.markdown.write_text(page(verdicts), encoding="utf-8")
    killed = sum(verdict.killed for verdict in verdicts)
    return int(bool(failing) or killed < 0.95 * len(verdicts))


def chosen(names: list[str]) -> list[Defect]:
    """The defects of these names; all if there are none."""
    unknown = sorted(set(names) - DEFECTS.keys())
    if unknown:
        raise error(
            ValueError, "mutation", f"there are no defects {unknown}",
            expected="names that `python -m rushlight.testing.mutation` lists",
        )  # fmt: skip
    return [DEFECTS[name] for name in names] if names else list(DEFECTS.values())


def shown(verdict: Verdict) -> None:
    """Progress, to the terminal."""
    word = "killed  " if verdict.killed else "SURVIVED"
    print(f"{word}  {verdict.defect:36}  {verdict.case:48}  {verdict.message}", file=sys.stderr)


def summary(verdicts: list[Verdict], failing: list[tuple[str, str, str]]) -> str:
    """What came out, in a few lines."""
    killed = sum(verdict.killed for verdict in verdicts)
    survived = [verdict.defect for verdict in verdicts if not verdict.killed]
    lines = [f"{killed} of {len(verdicts)} defects killed ({killed / len(verdicts):.1%})"]
    lines += [f"survived: {', '.join(survived)}"] if survived else []
    lines += [f"a sound {kind} device fails {case}: {told}" for kind, case, told in failing]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
