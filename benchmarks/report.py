"""Figures as Markdown: a table per group, worst ratio first, with its geometric mean."""

from __future__ import annotations

import math
import statistics
from typing import Any

from _harness import SPREAD

Figures = dict[str, dict[str, Any]]


def markdown(groups: dict[str, dict[str, Figures]], reference: str, others: list[str]) -> str:
    """The whole report; `groups` maps group to row to contender to figure."""
    parts = [overview(groups, others)] if others else []
    parts += [section(name, rows, reference, others) for name, rows in groups.items() if rows]
    return "\n\n".join(parts) + "\n"


def overview(groups: dict[str, dict[str, Figures]], others: list[str]) -> str:
    """Geometric mean and worst row of each group and contender."""
    lines = ["| group | contender | rows | mean | worst | |", "|---|---|---|---|---|---|"]
    for group, rows in groups.items():
        for other in others:
            ratios = _ratios(rows, other)
            failed = sum("error" in figures.get(other, {}) for figures in rows.values())
            note = f"{failed} failed" if failed else ""
            if ratios:
                worst = max(ratios, key=lambda row: ratios[row])
                mean = statistics.geometric_mean(ratios.values())
                lines.append(
                    f"| {group} | {other} | {len(ratios)} | {mean:.2f} "
                    f"| {ratios[worst]:.2f} {worst} | {note} |"
                )
            elif failed:
                lines.append(f"| {group} | {other} | 0 | | | {note} |")
    return "\n".join(lines)


def section(group: str, rows: dict[str, Figures], reference: str, others: list[str]) -> str:
    """One group's table, by the first contender's ratio from the worst down."""
    key = others[0] if others else reference
    order = sorted(rows, key=lambda row: -rows[row].get(key, {}).get("ratio", math.inf))
    head = ["row", reference, *others]
    lines = [f"## {group}", "", _line(head), _line(["---"] * len(head))]
    for row in order:
        figures = rows[row]
        lines.append(_line([row, amount(figures.get(reference)), *_cells(figures, others)]))
    means = {other: list(_ratios(rows, other).values()) for other in others}
    if any(means.values()):
        mean = [f"{statistics.geometric_mean(r):.2f}" if r else "" for r in means.values()]
        lines.append(_line(["**geometric mean**", "", *mean]))
    cells = [cell for figures in rows.values() for cell in _cells(figures, others)]
    if any("~" in cell for cell in cells):
        lines += ["", f"~ the middle half of the rounds spreads over more than {SPREAD:.0%}"]
    if any("!" in cell for cell in cells):
        lines += ["", "! other programs took the cores away in most rounds: measure again"]
    return "\n".join(lines)


def line(row: str, figures: Figures, reference: str, others: list[str]) -> str:
    """One row for the terminal, as soon as it is measured."""
    return f"{row:32} {amount(figures.get(reference)):>10}  " + "  ".join(_cells(figures, others))


def amount(figure: dict[str, Any] | None) -> str:
    """A time or a size with its unit."""
    if not figure:
        return "-"
    if "error" in figure:
        return str(figure["error"])[:90]
    if "bytes" in figure:
        return f"{figure['bytes'] / 2**20:.0f} MiB"
    seconds = figure["seconds"]
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f} us"


def _cells(figures: Figures, others: list[str]) -> list[str]:
    return [_cell(figures.get(other)) for other in others]


def _cell(figure: dict[str, Any] | None) -> str:
    if not figure or "error" in figure:
        return amount(figure)
    if "ratio" not in figure:
        return amount(figure)
    mark = "~" if figure.get("spread", 0.0) > SPREAD else ""
    mark += "" if figure.get("calm", True) else "!"
    return f"{figure['ratio']:.2f}{mark} ({amount(figure)})"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _ratios(rows: dict[str, Figures], other: str) -> dict[str, float]:
    found = {row: figures.get(other, {}) for row, figures in rows.items()}
    return {row: figure["ratio"] for row, figure in found.items() if figure.get("ratio", 0) > 0}
