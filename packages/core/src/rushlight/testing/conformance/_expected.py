"""Expected failures: a backend's xfails.txt, and strict bookkeeping of it.

Each line has ids of cases, or patterns of ids with `*`, and after a `#` the reason:

    kernel-linalg_*  kernel-geqrf    # no factorizations yet
    value-pow-float16-contiguous-4   # the driver's pow loses NaN

A case that passes although it stands here fails the run, and so does a line without a case.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ...backend._registry import entry_points
from ._case import BREAKING, Result

FILE = "xfails.txt"


@dataclass
class Expected:
    """The expected failures of a backend.

    Attributes:
        source: Where they stand.
        reasons: Reasons by id or pattern.
        problems: Lines that can't be read.
    """

    source: str = ""
    reasons: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def reason(self, case_id: str) -> str | None:
        """Why a case is expected to fail, None if it is not."""
        found = self.reasons.get(case_id)
        if found is not None:
            return found
        patterns = (p for p in self.reasons if "*" in p and fnmatchcase(case_id, p))
        return next((self.reasons[p] for p in patterns), None)

    def judge(self, result: Result) -> Result:
        """Turns a result into an expected failure, or an unexpected success."""
        reason = self.reason(result.case.id) if self.reasons else None
        if reason is None:
            return result
        if result.outcome in BREAKING | {"missing", "blocked"}:
            result.outcome, result.details = "expected", result.reason
            result.reason = reason
        elif result.outcome == "passed":
            result.outcome = "unexpected"
            result.reason = f"it passes; take it out of {self.source or FILE} ({reason})"
        return result

    def unmatched(self, ids: Collection[str]) -> list[str]:
        """Complaints about lines that match no case at all."""
        known = set(ids)
        return [
            f"{self.source}: {pattern!r} matches no case"
            for pattern in self.reasons
            if pattern not in known
            and not ("*" in pattern and any(fnmatchcase(each, pattern) for each in known))
        ]


def parsed(text: str, source: str = FILE) -> Expected:
    """Reads the lines of a file of expected failures.

    Example:
        >>> from rushlight.testing.conformance import _expected
        >>> _expected.parsed("value-add-* # adds by guessing").reason("value-add-float32-0")
        'adds by guessing'
    """
    found = Expected(source)
    for number, line in enumerate(text.splitlines(), 1):
        words, _, reason = line.partition("#")
        names, reason = words.split(), reason.strip()
        if names and not reason:
            found.problems.append(f"{source}, line {number}: {names[0]} has no reason after a '#'")
        elif names:
            found.reasons.update(dict.fromkeys(names, reason))
    return found


def expected_of(kind: str, file: str | Path | None = None) -> Expected:
    """The expected failures of a device type: of a file, or of the backend's own package.

    Nothing of the backend is imported: it may be what is broken.
    """
    if file is not None:
        return parsed(Path(file).read_text("utf-8"), str(file))
    for entry in entry_points(testing=True).get(kind, ()):
        found = _in_package(entry.value.partition(":")[0])
        if found is not None:
            return parsed(found.read_text("utf-8"), FILE)
    return Expected(FILE)


def _in_package(module: str) -> Path | None:
    from importlib.util import find_spec

    # The top package's folder, then down: find_spec("a.b") would import a.
    top, *rest = module.split(".")
    spec = find_spec(top)
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(root, *rest)
        for place in (folder, folder.parent):
            if (place / FILE).is_file() and (place == folder or rest):
                return place / FILE
    return None
