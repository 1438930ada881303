"""Run where only rushlight-core is installed: it imports, and computes shapes on `meta`."""

import rushlight

product = rushlight.empty(2, 3, device="meta") @ rushlight.empty(3, 4, device="meta")
assert product.shape == (2, 4), product.shape
assert product.dtype is rushlight.float32

message = ""
try:
    rushlight.zeros(2)
except RuntimeError as problem:
    message = str(problem)
assert "rushlight-cpu" in message, f"this does not say how to get a backend: {message}"

try:
    import rushlight.nn
except ModuleNotFoundError:
    pass
else:
    raise AssertionError(f"rushlight.nn comes from {rushlight.nn.__path__}")
