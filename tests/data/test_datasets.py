"""Datasets, samplers and the division of a dataset."""

import pytest

import rushlight
from rushlight.utils import data


class Numbers(data.Dataset):
    def __init__(self, count=10):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter(range(3))

    def __len__(self):
        return 3


def seeded(seed=0):
    return rushlight.Generator().manual_seed(seed)


def test_tensor_dataset():
    dataset = data.TensorDataset(rushlight.arange(4), rushlight.arange(8).reshape(4, 2))
    assert len(dataset) == 4
    assert [entry.tolist() for entry in dataset[2]] == [2, [4, 5]]
    with pytest.raises(AssertionError, match="Size mismatch"):
        data.TensorDataset(rushlight.zeros(2), rushlight.zeros(3))


def test_stack_dataset():
    dataset = data.StackDataset(Numbers(), Numbers())
    assert dataset[3] == (3, 3) and len(dataset) == 10
    assert data.StackDataset(a=Numbers(), b=Numbers()).__getitems__([1, 2]) == [
        {"a": 1, "b": 1},
        {"a": 2, "b": 2},
    ]
    for arguments, names, text in (
        ((), {}, "At least one"),
        ((Numbers(),), {"a": Numbers()}, "by name"),
        ((Numbers(1), Numbers(2)), {}, "Size mismatch"),
    ):
        with pytest.raises(ValueError, match=text):
            data.StackDataset(*arguments, **names)


def test_concat_dataset():
    dataset = Numbers(4) + Numbers(3)
    assert [dataset[i] for i in (0, 3, 4, 6, -1, -7)] == [0, 3, 0, 2, 2, 0]
    with pytest.raises(ValueError, match="absolute value"):
        dataset[-8]
    with pytest.raises(AssertionError, match="empty"):
        data.ConcatDataset([])
    with pytest.raises(AssertionError, match="IterableDataset"):
        data.ConcatDataset([Stream()])


def test_chain_dataset():
    dataset = Stream() + Stream()
    assert list(dataset) == [0, 1, 2, 0, 1, 2] and len(dataset) == 6
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(data.ChainDataset([Numbers()]))


def test_abstract_datasets():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        data.Dataset()[0]
    with pytest.raises(TypeError):
        data.IterableDataset()


def test_subset():
    subset = data.Subset(Numbers(), [5, 3])
    assert [subset[i] for i in range(2)] == [5, 3] and len(subset) == 2
    assert subset.__getitems__([1, 0]) == [3, 5]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [([3, 7], [3, 7]), ([0.33, 0.33, 0.34], [4, 3, 3]), ([0.01, 0.99], [1, 9]), ([1.0], [10])],
)
def test_random_split(lengths, expected):
    parts = data.random_split(Numbers(), lengths, generator=seeded())
    assert [len(part) for part in parts] == expected
    assert sorted(i for part in parts for i in part.indices) == list(range(10))
    again = data.random_split(Numbers(), lengths, generator=seeded())
    assert [part.indices for part in again] == [part.indices for part in parts]


@pytest.mark.parametrize(
    ("lengths", "text"), [([3, 3], "Sum"), ([0.5, 0.6], "Sum"), ([-0.5, 1.5], "index 0")]
)
def test_random_split_refuses_impossible_lengths(lengths, text):
    with pytest.raises(ValueError, match=text):
        data.random_split(Numbers(), lengths)


def test_random_sampler():
    numbers = Numbers()
    order = list(data.RandomSampler(numbers, generator=seeded()))
    assert sorted(order) == list(range(10))
    assert order == list(data.RandomSampler(numbers, generator=seeded()))
    more = list(data.RandomSampler(numbers, num_samples=25))
    assert len(more) == 25 and sorted(more[10:20]) == list(range(10))
    assert len(list(data.RandomSampler(numbers, replacement=True, num_samples=70))) == 70
    with pytest.raises(ValueError, match="num_samples"):
        data.RandomSampler(numbers, num_samples=0)
    with pytest.raises(TypeError, match="replacement"):
        data.RandomSampler(numbers, replacement=3)


def test_the_default_generator_seeds_random_samplers():
    orders = []
    for _ in range(2):
        rushlight.manual_seed(5)
        sampler = data.RandomSampler(Numbers())
        orders.append((list(sampler), list(sampler)))
    assert orders[0] == orders[1] and orders[0][0] != orders[0][1]


def test_weighted_random_sampler():
    sampler = data.WeightedRandomSampler([0.0, 3.0, 1.0], 1000, generator=seeded())
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 1000 and 0 not in drawn
    assert 650 < drawn.count(1) < 850
    assert sorted(data.WeightedRandomSampler([1.0, 1.0], 2, replacement=False)) == [0, 1]
    with pytest.raises(ValueError, match="num_samples"):
        data.WeightedRandomSampler([1.0], 0)
    with pytest.raises(ValueError, match="1d"):
        data.WeightedRandomSampler([[1.0]], 1)


def test_subset_random_sampler():
    assert sorted(data.SubsetRandomSampler([4, 7], generator=seeded())) == [4, 7]


@pytest.mark.parametrize(("drop", "expected"), [(False, 4), (True, 3)])
def test_batch_sampler(drop, expected):
    sampler = data.BatchSampler(data.SequentialSampler(Numbers()), 3, drop)
    batches = list(sampler)
    assert len(batches) == len(sampler) == expected
    assert batches[:3] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_batch_sampler_wants_a_positive_integer(size):
    with pytest.raises(ValueError, match="positive integer"):
        data.BatchSampler(Numbers(), size, False)


@pytest.mark.parametrize("drop", [False, True])
def test_distributed_samplers_share_a_dataset(drop):
    samplers = [data.DistributedSampler(Numbers(), 3, rank, drop_last=drop) for rank in range(3)]
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {3 if drop else 4}
    together = [index for share in shares for index in share]
    assert len(set(together)) == (9 if drop else 10)
    samplers[0].set_epoch(1)
    assert list(samplers[0]) != shares[0]


def test_distributed_sampler_checks_its_rank():
    with pytest.raises(ValueError, match="Invalid rank 2"):
        data.DistributedSampler(Numbers(), 2, 2)
    with pytest.raises(ValueError, match="process group"):
        data.DistributedSampler(Numbers())
