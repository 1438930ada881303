"""What is written about a run: the coverage table in Markdown, JSON, and a badge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..._dtypes import dtype_named
from ..._registered import operators
from ..owed import is_optional, is_owed
from ..samples import groups
from ._case import BREAKING, Result
from ._facts import CLASSES, class_of
from ._scorecard import Scorecard

_FORMAT = 1


def as_json(card: Scorecard) -> dict[str, Any]:
    """A run as plain data; tracebacks only of what went wrong."""
    return {
        "format": _FORMAT,
        "device": card.device,
        "level": card.level,
        "ok": card.ok,
        "facts": card.facts,
        "problems": card.problems,
        "stages": {stage: dict(row) for stage, row in card.counts().items()},
        "coverage": coverage(card),
        "cases": [_row(result) for result in card.results],
    }


def _row(result: Result) -> dict[str, Any]:
    row: dict[str, Any] = {"id": result.case.id, "outcome": result.outcome}
    if result.reason:
        row["reason"] = result.reason
    if result.details:
        row["details"] = result.details
    return {**row, "seconds": round(result.seconds, 4)}


def coverage(card: Scorecard) -> dict[str, dict[str, str]]:
    """How a device does each operator, by class of dtypes.

    Returns:
        By operator: "how" it is done in general ("kernel", "composed", "view", "missing", or
        "optional" for an absent one that need not be there), and by class of dtype "kernel",
        "composed", "view", "missing", "failing" or "no dtype"; classes that no case asked are left
        out.
    """
    kernels = card.facts.get("kernels", {})
    has = {class_of(dtype_named(name)) for name in card.facts.get("dtypes", ())}
    bad = _bad_classes(card)
    rows = {}
    for name, op in sorted(operators.items()):
        if name not in kernels and not (is_owed(op) or op.decomposition_rule or op.view_rule):
            continue
        row = {"how": _how(name, kernels)}
        group = groups().get(name)
        wanted = {class_of(dtype) for dtype in group.dtypes} if group is not None else set()
        for each in CLASSES:
            if each in wanted:
                row[each] = bad.get((name, each)) or _way(name, each, kernels, has)
        rows[name] = row
    return rows


def _bad_classes(card: Scorecard) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for result in card.results:
        case = result.case
        if case.operator is None or case.dtype is None:
            continue
        place = (case.operator, class_of(case.dtype))
        if result.outcome in BREAKING or result.outcome == "expected":
            found[place] = "failing"
        elif result.outcome in ("missing", "blocked"):
            found.setdefault(place, "missing")
    return found


def _how(name: str, kernels: dict[str, list[str]]) -> str:
    op = operators[name]
    if op.view_rule is not None:
        return "view"
    if name in kernels:
        return "kernel"
    if op.decomposition_rule is not None:
        return "composed"
    return "optional" if is_optional(name) else "missing"


def _way(name: str, each: str, kernels: dict[str, list[str]], has: set[str]) -> str:
    if each not in has:
        return "no dtype"
    how = _how(name, kernels)
    if how == "kernel" and each not in kernels[name]:
        composed = operators[name].decomposition_rule is not None
        # Operands of this class are brought to another before the kernel is asked.
        return "composed" if composed else "kernel" if each in ("bool", "integer") else "missing"
    return how


# -- Markdown -----------------------------------------------------------------------------------


def markdown(card: Scorecard) -> str:
    """The page of a device: scorecard, expected failures, and the coverage table."""
    return "\n".join([*_head(card), *_expected(card), *_coverage(card)]) + "\n"


def _head(card: Scorecard) -> Iterator[str]:
    facts = card.facts
    yield f"# Coverage of `{card.device}`"
    yield ""
    notes = f"; {facts['notes']}" if facts.get("notes") else ""
    yield (
        f"Written by `python -m rushlight.testing {card.device} --markdown`, never by hand. "
        f"Backend: {facts.get('provider', 'unknown')}{notes}."
    )
    yield ""
    counts = card.counts()
    yield "| Stage | Passed | Not passed | Expected failures | Does not apply | Not run |"
    yield "|---|---|---|---|---|---|"
    for stage, row in counts.items():
        bad = sum(row[o] for o in ("failed", "crashed", "hung", "missing", "unexpected", "blocked"))
        cells = (row["passed"], bad, row["expected"], row["skipped"], row["not run"])
        yield f"| {stage} | " + " | ".join(map(str, cells)) + " |"
    yield ""


def _expected(card: Scorecard) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for result in card.results:
        if result.outcome == "expected":
            reasons.setdefault(result.reason, []).append(result.case.id)
    if reasons:
        yield "Expected failures:"
        yield ""
    for reason, ids in reasons.items():
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        yield f"- {reason}: `{ids[0]}`{more}"
    if reasons:
        yield ""


def _coverage(card: Scorecard) -> Iterator[str]:
    yield (
        "*kernel*: the device's own; *composed*: of other operators; *view*: needs none; "
        "*optional*: absent, and need not be there. An empty cell: the operator is not for such "
        "operands, or no case asks."
    )
    yield ""
    yield "| Operator | Done by | " + " | ".join(CLASSES) + " |"
    yield "|---" * (2 + len(CLASSES)) + "|"
    for name, row in coverage(card).items():
        cells = [row["how"], *(row.get(each, "") for each in CLASSES)]
        yield f"| `{name}` | " + " | ".join(cells) + " |"


# -- the badge ----------------------------------------------------------------------------------

_BADGE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
    'aria-label="{label}: {value}"><title>{label}: {value}</title>'
    '<rect width="{width}" height="20" rx="3" fill="#555"/>'
    '<rect x="{middle}" width="{right}" height="20" rx="3" fill="{colour}"/>'
    '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
    'text-anchor="middle"><text x="{at}" y="14">{label}</text>'
    '<text x="{there}" y="14">{value}</text></g></svg>\n'
)
#: Width of a character of the badge's font, in pixels.
_CHARACTER = 7


def badge(card: Scorecard) -> str:
    """A small SVG that says how much of the suite passed."""
    passed, applicable = card.passed()
    share = 100 * passed / applicable if applicable else 0.0
    value = "100 %" if passed == applicable and card.ok else f"{min(share, 99.9):.1f} %"
    colour = "#2e8540" if card.ok else "#c26a00" if share >= 90 else "#b3261e"
    label = f"rushlight {card.device}"
    left, right = (_CHARACTER * len(text) + 10 for text in (label, value))
    return _BADGE.format(
        label=label, value=value, width=left + right, middle=left, right=right, colour=colour,
        at=left / 2, there=left + right / 2,
    )  # fmt: skip
