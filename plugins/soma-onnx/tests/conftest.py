"""One thread for NumPy's products: small ones on two threads of a busy machine take many times as long."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
