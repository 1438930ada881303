"""Run where only rushlight-nn and what it requires is installed: it brings the core along."""

import rushlight
from rushlight import nn, optim
from rushlight.utils.data import DataLoader

model = nn.Sequential(nn.Linear(3, 5, device="meta"), nn.ReLU(), nn.Linear(5, 2, device="meta"))
assert model(rushlight.empty(7, 3, device="meta")).shape == (7, 2)
assert len(optim.SGD(model.parameters(), lr=0.1).param_groups) == 1
assert len(DataLoader(range(10), batch_size=4)) == 3
