"""Time Rushlight against torch and others: operators, overhead, models, scale, peak memory.

    python benchmarks/run.py                                  everything, about 20 minutes
    python benchmarks/run.py --rows 'softmax.*'               rows by name, seconds
    python benchmarks/run.py --group operators --quick        fewer rounds, under two minutes
    python benchmarks/run.py --contenders torch,rushlight,rushlight-numpy --markdown report.md
    python benchmarks/run.py --profile layer_norm+grad        where Rushlight's time goes

The first contender is the reference, and ratios below 1 are faster than it.  Peak memory is the
growth of a fresh process's largest resident memory from imports done to three training steps done.
Times say nothing about another machine; only ratios are meant to be compared.

tinygrad computes on its CL device.  It looks for a system's libOpenCL; where there is none, it is
given the loader that comes with pyopencl (`pip install pyopencl[pocl] tinygrad`).  JAX compiles
each row whole (`pip install jax`).  Contenders that are not installed are left out.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import cases
import report
from _harness import QUICK, Contender, Effort, Failed, Worker, contest
from rows import Row

CONTENDERS = {
    found.name: found
    for found in (
        Contender("torch", "torch"),
        Contender("rushlight", "rushlight"),
        Contender("rushlight-numpy", "rushlight", environment={"RUSHLIGHT_CPU_KERNELS": "numpy"}),
        Contender("rushlight-opencl", "rushlight", "opencl:0"),
        Contender("tinygrad", "tinygrad", "CL", patience=10.0),
        Contender("jax", "jax", patience=3.0),
    )
}
MEMORY_STEPS = 3


def main(arguments: list[str] | None = None) -> None:
    """Measures what the command line asks for, prints it row by row, then the report."""
    options = parser().parse_args(arguments)
    if options.profile:
        import _profile

        _profile.profile(cases.ROWS[options.profile], options.device, options.threads)
        return
    contenders = installed([CONTENDERS[name] for name in options.contenders.split(",")])
    effort = QUICK if options.quick else Effort()
    if options.rounds:
        effort = Effort(**{**vars(effort), "rounds": options.rounds, "row": 60.0})
    groups = measure(chosen(options), contenders, effort, options.threads)
    names = [contender.name for contender in contenders]
    text = report.markdown(groups, names[0], names[1:])
    print("\n" + text)
    if options.markdown:
        by = f"Written by `python benchmarks/run.py --markdown`, {datetime.date.today()}."
        page = f"# Benchmarks\n\n{by} {conditions(options, names)}\n\n{text}"
        options.markdown.write_text(page)
    if options.json:
        options.json.write_text(json.dumps(groups, indent=1))


def installed(contenders: list[Contender]) -> list[Contender]:
    """The contenders whose library is there; says which are left out."""
    found = [c for c in contenders if importlib.util.find_spec(c.library)]
    for missing in contenders:
        if missing not in found:
            print(f"{missing.name} is left out: {missing.library} is not installed", flush=True)
    if not found:
        sys.exit("none of the contenders is installed")
    return found


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--group", action="append", choices=cases.GROUPS, help="may be repeated")
    made.add_argument("--rows", help="regular expression that whole names must match")
    made.add_argument("--contenders", default="torch,rushlight", help=", ".join(CONTENDERS))
    made.add_argument("--rounds", type=int, help="exactly so many, however long they take")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    made.add_argument("--markdown", type=Path)
    made.add_argument("--json", type=Path)
    made.add_argument("--profile", metavar="ROW", choices=cases.ROWS)
    made.add_argument("--device", default="cpu", help="device of --profile")
    return made


def chosen(options: argparse.Namespace) -> dict[str, list[Row]]:
    """The rows asked for, by group."""
    groups = options.group or list(cases.GROUPS)
    pattern = re.compile(options.rows or ".*")
    found = {}
    for group in groups:
        members = ("models", "inference") if group == "memory" else (group,)
        rows = [r for r in cases.ROWS.values() if r.group in members]
        found[group] = [row for row in rows if pattern.fullmatch(row.name)]
    if not any(found.values()):
        sys.exit(f"no row of {', '.join(groups)} matches {options.rows!r}")
    return found


def measure(
    groups: dict[str, list[Row]], contenders: list[Contender], effort: Effort, threads: int
) -> dict[str, dict[str, report.Figures]]:
    """Figures by group, row and contender."""
    reference, *others = [contender.name for contender in contenders]
    found: dict[str, dict[str, report.Figures]] = {}
    for group, rows in groups.items():
        if not rows:
            continue
        found[group] = {}
        # Small tensors need no second thread, and its wake-ups would only disturb.
        count = 1 if group == "overhead" else threads
        if group == "memory":
            measured = ((row, memory(row, contenders, count, effort)) for row in rows)
            finished: list[Worker] = []
        else:
            finished = [Worker(contender, count) for contender in contenders]
            measured = contest(rows, finished, effort)
        try:
            for row, figures in measured:
                found[group][row.name] = figures
                print(report.line(row.name, figures, reference, others), flush=True)
        finally:
            for worker in finished:
                worker.close()
    if "overhead" in found:
        _add_backward_per_node(found["overhead"], reference)
    return found


def memory(row: Row, contenders: list[Contender], threads: int, effort: Effort) -> report.Figures:
    """Peak memory of a few steps of a row, a fresh process each."""
    figures: report.Figures = {}
    for contender in contenders:
        worker = Worker(contender, threads)
        try:
            figure = worker.ask(effort.limit, do="memory", row=row.name, steps=MEMORY_STEPS)
        except Failed as failure:
            figure = {"error": str(failure)}
        finally:
            worker.close()
        base = figures.get(contenders[0].name, figure)
        if "bytes" in figure and "bytes" in base:
            figure["ratio"] = figure["bytes"] / max(base["bytes"], 1)
        figures[contender.name] = figure
    return figures


def _add_backward_per_node(rows: dict[str, Any], reference: str) -> None:
    """Backward alone: the chain with backward less the chain without, per product."""
    both, forward = rows.get("chain_backward"), rows.get("chain")
    if not both or not forward:
        return
    figures: report.Figures = {}
    for name in both:
        if "seconds" in both[name] and "seconds" in forward.get(name, {}):
            seconds = (both[name]["seconds"] - forward[name]["seconds"]) / cases.overhead.CHAIN
            figures[name] = {"seconds": seconds, "rounds": both[name]["rounds"]}
    for figure in figures.values():
        if reference in figures:
            figure["ratio"] = figure["seconds"] / figures[reference]["seconds"]
    rows["backward_per_node"] = figures


def conditions(options: argparse.Namespace, names: list[str]) -> str:
    """What a reader must know to judge the figures."""
    import platform
    from importlib import metadata

    versions = []
    for package in ("rushlight-core", "numpy", "torch", "jax", "tinygrad"):
        if importlib.util.find_spec(package.split("-")[0]):
            versions.append(f"{package} {metadata.version(package)}")
    return (
        f"{options.threads} threads on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, {', '.join(versions)}. Ratios to {names[0]}, times in "
        "brackets; below 1 is faster. Medians of interleaved rounds, one process per contender, "
        "results compared before timing."
    )


if __name__ == "__main__":
    main()
