"""Every primitive has samples, and the reasons for those without are still true."""

import inspect

import pytest

from rushlight._registered import operators
from rushlight.testing import forms
from rushlight.testing.samples import groups

_RANDOM = "draws random numbers: tests/random holds golden vectors and statistics"
_MOVE = "moves or renames data and has no rules of its own"
_FREE = "its factors are free in sign, phase or order, which no reference settles"

# Exact: what is missing here needs samples, and what has samples may not stand here.
EXCUSED = {
    "copy_": _MOVE,
    "to_kind": _MOVE,
    "detach": _MOVE,
    "sum_to": _MOVE,
    "random_bernoulli": _RANDOM,
    "random_exponential": _RANDOM,
    "random_integers": _RANDOM,
    "random_normal": _RANDOM,
    "random_permutation": _RANDOM,
    "random_uniform": _RANDOM,
    "geqrf": _FREE,
    "linalg_eig": _FREE,
    "linalg_eigvals": _FREE,
    "linalg_ldl_factor": _FREE,
    "linalg_ldl_solve": "solves with the factors of linalg_ldl_factor",
    "linalg_lu_factor": _FREE,
    "lu_permutation": "reads the pivots of linalg_lu_factor",
}


def _primitives() -> set[str]:
    return {name for name, op in operators.items() if op.decomposition_rule is None}


def test_every_primitive_has_samples() -> None:
    missing = _primitives() - groups().keys() - EXCUSED.keys()
    assert not missing, f"write samples for {sorted(missing)}"


def test_excuses_are_exact() -> None:
    needless = EXCUSED.keys() & groups().keys()
    assert not needless, f"have samples now: {sorted(needless)}"
    unknown = EXCUSED.keys() - _primitives()
    assert not unknown, f"are no primitives (any more): {sorted(unknown)}"


def test_samples_belong_to_operators() -> None:
    unknown = groups().keys() - operators.keys()
    assert not unknown, f"there is no operator {sorted(unknown)}"


def test_samples_fit_their_schema() -> None:
    for group in groups().values():
        schema = group.operator.schema
        known = {p.name for p in schema.attributes}
        for sample in group.samples():
            assert sample.case.attributes.keys() <= known, (group.name, sample.number)
            assert schema.variadic or len(sample.case.inputs) == len(schema.inputs), group.name


def test_public_forms_take_what_the_samples_give() -> None:
    """A form that did not would be a form that is not tested."""
    for group in groups().values():
        if not group.forms:
            continue
        for sample in group.samples():
            for form in (forms.inplace_form(sample), forms.out_form(sample)):
                if form is not None:
                    assert forms.binds(form, sample), f"{group.name}: {inspect.signature(form)}"


@pytest.mark.parametrize("name", sorted(_primitives() - EXCUSED.keys()))
def test_primitive_has_all_rules(name: str) -> None:
    """What a primitive lacks, no decomposition replaces."""
    op = operators[name]
    group = groups().get(name)
    if op.is_random or op.creates or (group is not None and not group.meta):
        return
    assert op.meta_rule is not None or op.view_rule is not None, "no meta function"
    if op.differentiable and group is not None and group.smooth:
        assert op.vjp_rule is not None, "no vjp"
    if group is None or group.batches:
        assert op.batching_rule is not None, "no batching rule"
