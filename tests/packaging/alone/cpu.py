"""Run where only rushlight-cpu and what it requires is installed: it computes."""

import rushlight

x = rushlight.tensor([1.0, 2.0, 3.0], requires_grad=True)
(x * x).sum().backward()
assert x.grad is not None
assert x.grad.tolist() == [2.0, 4.0, 6.0], x.grad
