"""The suite notices defects: a few of each kind here, all of them in `run.py mutation`."""

from __future__ import annotations

import pytest

from rushlight.testing.conformance._catalogue import catalogue
from rushlight.testing.mutation import DEFECTS
from rushlight.testing.mutation.__main__ import chosen, summary
from rushlight.testing.mutation._cases import first_cases
from rushlight.testing.mutation._harness import Verdict, control, failure_of, judged
from rushlight.testing.mutation._page import page
from rushlight.testing.mutation._victim import planted

# One or two of each part of a backend; those that need few cases.
SOME = [
    "strides-of-one-operand", "block-tail", "maximum-drops-nan",
    "cast-to-bool-by-truncation", "write-past-the-end", "keepdim-ignored", "sum-in-16-bits",
    "scatter-loses-updates", "nan-sorted-first", "dilation-ignored", "softmax-overflows",
    "embedding-loses-updates", "workspace-given-away", "not-reproducible", "read-without-waiting",
]  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_the_suite_notices(name: str) -> None:
    verdict = judged(DEFECTS[name], whole=False)
    assert verdict.killed, f"nothing noticed that {DEFECTS[name].description}"


# Defects that no operator's own cases show, and the programs that are there for them.
BY_PROGRAMS = {
    "dropout-not-scaled": "reproducibility-dropout-float32",
    "counter-cut-to-32-bits": "golden-random_bernoulli-2",
    "one-address": "memory-addresses",
    "odd-allocation": "memory-odd_sizes",
    "copy-too-long": "memory-a_copy_writes_its_target_only",
    "copy-of-overlap": "memory-a_copy_within_overlapping_memory",
    "writes-delayed": "memory-reads_wait",
}


@pytest.mark.parametrize("name", BY_PROGRAMS)
def test_a_program_notices(name: str) -> None:
    (case,) = (case for case in catalogue() if case.id == BY_PROGRAMS[name])
    assert failure_of(case, planted(DEFECTS[name])) is not None
    assert failure_of(case, planted(None)) is None
    assert failure_of(case, planted(None, queue=True)) is None


@pytest.mark.parametrize("queue", [False, True])
def test_the_same_cases_pass_on_a_sound_device(queue: bool) -> None:
    operators = ("amin", "argmax", "scatter", "softmax", "maximum")
    made = control(queue=queue, cases=first_cases(operators))
    assert made.failing == {}
    assert made.asked > 300
    assert {name for kernels in made.traces.values() for name in kernels} >= {*operators}


def test_there_are_defects_of_every_part() -> None:
    assert len(DEFECTS) >= 70
    assert {defect.family for defect in DEFECTS.values()} == {
        "elementwise", "reductions", "indexing", "layers", "random numbers", "state and memory",
        "copies and views", "queue",
    }  # fmt: skip
    assert all((defect.spoil is None) != (defect.runtime is None) for defect in DEFECTS.values())


def test_a_case_that_calls_no_spoilt_kernel_is_left_out() -> None:
    defect = DEFECTS["amax-drops-nan"]
    traces = {case.id: frozenset({"amin"}) for case in first_cases(("amax",))}
    assert judged(defect, traces, whole=False).asked == 0


def test_the_page_names_what_was_noticed_and_what_was_not() -> None:
    verdicts = [Verdict("block-tail", True, "value-add", "wrong"), Verdict("odd-rows", False)]
    shown = page(verdicts)
    assert "1 of 2 are noticed (50.0%)" in shown
    assert "`value-add`" in shown
    assert "**nothing**" in shown
    assert "survived: odd-rows" in summary(verdicts, [])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no defects \\['rust'\\]"):
        chosen(["rust"])
