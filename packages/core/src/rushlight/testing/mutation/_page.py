"""The table of verdicts as a page of the documentation."""

from __future__ import annotations

from ._defect import DEFECTS
from ._harness import Verdict

HEAD = """# What the test suite notices

<!-- generated: python -m rushlight.testing.mutation --markdown docs/mutation.md -->

A suite of tests is worth what it notices. Each line is a mistake that the author of a backend could
make, planted in a backend that is sound otherwise; the suite of `rushlight.testing` is run against
it until a case fails. {killed} of {count} are noticed ({share:.1%}). On two sound backends, one
whose kernels run at once and one with a queue, every case passes.

This page is written by `python -m rushlight.testing.mutation --markdown docs/mutation.md`.
"""


def page(verdicts: list[Verdict]) -> str:
    """The page, one table for each part of a backend."""
    killed = sum(verdict.killed for verdict in verdicts)
    count = len(verdicts)
    parts = [HEAD.format(killed=killed, count=count, share=killed / count)]
    families = list(dict.fromkeys(DEFECTS[verdict.defect].family for verdict in verdicts))
    for family in families:
        rows = [_row(v) for v in verdicts if DEFECTS[v.defect].family == family]
        parts.append(f"## {family.capitalize()}\n")
        parts.append(
            "| What is wrong | Where | Noticed by |\n|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def _row(verdict: Verdict) -> str:
    defect = DEFECTS[verdict.defect]
    names = [f"`{name}`" for name in defect.operators]
    where = "the device" if defect.spoil is None else ", ".join(names[:3])
    if defect.spoil is not None and len(names) > 3:
        where += f" and {len(names) - 3} more"
    told = f"`{verdict.case}`" if verdict.killed else "**nothing**"
    return f"| {defect.description} | {where} | {told} |".replace("|x|", "x")
