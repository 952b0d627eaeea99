"""Array types. Each function that takes or returns an array states its shape and value range."""

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
Float32Array = NDArray[np.float32]
Uint8Array = NDArray[np.uint8]
