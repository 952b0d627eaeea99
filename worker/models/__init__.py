"""Models: registry, weights, sessions, INT8."""

import os

# ONNX Runtime's Linux wheels report usage to Microsoft and leave files in the temporary folder and
# in ~/.cache. It reads this variable when it is first imported, so it is set here, before that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
