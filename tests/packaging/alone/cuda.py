"""Run where only rushlight-cuda and what it requires is installed: it says what is missing."""

import rushlight
import rushlight_cuda

assert rushlight_cuda.__version__ == rushlight.__version__
message = ""
try:
    rushlight.zeros(2, device="cuda")
except RuntimeError as problem:
    message = str(problem)
assert "CuPy is not installed" in message, message
assert 'pip install "rushlight-cuda[cuda13]"' in message, message
