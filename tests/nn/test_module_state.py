"""Saving and loading states."""

import pytest

import rushlight as rl
from rushlight import nn


def pair():
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def test_a_state_carries_versions_and_shares_memory():
    model = pair()
    state = model.state_dict()
    assert state._metadata["1"] == {"version": 2}
    assert state["0.weight"].data_ptr() == model[0].weight.data_ptr()
    assert not state["0.weight"].requires_grad
    assert model.state_dict(keep_vars=True)["0.weight"] is model[0].weight
    assert next(iter(model.state_dict(prefix="m."))) == "m.0.weight"


def test_round_trip():
    first, second = pair(), pair()
    assert repr(second.load_state_dict(first.state_dict())) == "<All keys matched successfully>"
    assert second[0].weight.tolist() == first[0].weight.tolist()


def test_a_refused_state_changes_nothing():
    model = pair()
    before = model[0].weight.tolist()
    state = {key: rl.ones_like(value) for key, value in model.state_dict().items()}
    state["1.bias"] = rl.ones(5)
    del state["0.bias"]
    state["zork"] = rl.ones(1)
    with pytest.raises(RuntimeError) as raised:
        model.load_state_dict(state)
    text = str(raised.value)
    assert "Error(s) in loading state_dict for Sequential" in text
    assert 'Missing key(s) in state_dict: "0.bias"' in text
    assert 'Unexpected key(s) in state_dict: "zork"' in text
    assert "size mismatch for 1.bias" in text
    assert model[0].weight.tolist() == before


def test_not_strict_reports_names_but_insists_on_shapes():
    model = nn.Linear(2, 2)
    found = model.load_state_dict({"weight": rl.ones(2, 2), "zork": rl.ones(1)}, strict=False)
    assert found.missing_keys == ["bias"] and found.unexpected_keys == ["zork"]
    assert model.weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(RuntimeError, match="size mismatch"):
        model.load_state_dict({"weight": rl.ones(3)}, strict=False)
    with pytest.raises(RuntimeError, match="expected a Tensor"):
        model.load_state_dict({"weight": 3}, strict=False)
    with pytest.raises(TypeError, match="dict-like"):
        model.load_state_dict(3)


def test_assign_takes_the_tensors_themselves():
    model = nn.Linear(2, 2)
    weight = rl.ones(2, 2, dtype=rl.float64)
    model.load_state_dict({"weight": weight, "bias": rl.ones(2)}, assign=True)
    assert model.weight.dtype == rl.float64 and model.weight.requires_grad
    assert model.weight.data_ptr() == weight.data_ptr()


def test_hooks_around_saving_and_loading():
    model, log = pair(), []
    model.register_state_dict_pre_hook(lambda m, prefix, keep: log.append(prefix))
    model[0].register_state_dict_post_hook(
        lambda m, state, prefix, meta: state.__setitem__(prefix + "extra", rl.ones(1))
    )
    state = model.state_dict()
    assert "0.extra" in state and log == [""]
    other = pair()
    other.register_load_state_dict_post_hook(lambda m, keys: keys.unexpected_keys.clear())
    assert other.load_state_dict(state).unexpected_keys == []
    third = pair()
    third[0].register_load_state_dict_pre_hook(lambda m, s, p, *rest: s.pop(p + "extra"))
    third.load_state_dict(state)


def test_extra_state():
    class Counting(nn.Linear):
        count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    first, second = Counting(1, 1), Counting(1, 1)
    first.count = 5
    second.load_state_dict(first.state_dict())
    assert second.count == 5
    with pytest.raises(RuntimeError, match="_extra_state"):
        second.load_state_dict(nn.Linear(1, 1).state_dict())


def test_batch_norm_loads_states_without_a_count():
    state = nn.BatchNorm1d(2).state_dict()
    old = {key: value for key, value in state.items() if key != "num_batches_tracked"}
    nn.BatchNorm1d(2).load_state_dict(old)
