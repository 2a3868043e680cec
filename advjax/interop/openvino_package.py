"""OpenVINO, imported without its telemetry. Importing this module imports OpenVINO.

At import OpenVINO reports to its makers from a fork of the process, unless the user has
opted out. A fork of a process with JAX's threads may wait for ever.
"""

import sys

_TELEMETRY = "openvino_telemetry"

_known = {_TELEMETRY: sys.modules[_TELEMETRY]} if _TELEMETRY in sys.modules else {}
# The import of a module that is None fails, and OpenVINO does without it.
sys.modules[_TELEMETRY] = None
try:
    import openvino
    from openvino import opset13
finally:
    del sys.modules[_TELEMETRY]
    sys.modules.update(_known)

__all__ = ["openvino", "opset13"]
