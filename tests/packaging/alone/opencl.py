"""Run where only rushlight-opencl and what it requires is installed: it is found, and no driver is
needed to say so."""

import rushlight
import rushlight_opencl

assert isinstance(rushlight_opencl.devices(), list)
assert "opencl" in rushlight.backend.report()
