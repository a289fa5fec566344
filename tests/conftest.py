"""What every test stands on: one thread of arithmetic, so that the tests can run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.pop("CHARRNN_RUN", None)
