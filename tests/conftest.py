"""What every test stands on: one thread of arithmetic, so that the tests can run side by side."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.pop("CHARRNN_RUN", None)

settings.register_profile("charrnn", deadline=None)  # a loaded machine is no failure
settings.load_profile("charrnn")
