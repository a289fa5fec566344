"""What every test stands on: one thread of arithmetic, so that the tests can run side by side."""

import os
import signal

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
for variable in ("CHARRNN_RUN", "CHARRNN_DATA"):
    os.environ.pop(variable, None)

settings.register_profile("charrnn", deadline=None)  # a loaded machine is no failure
settings.load_profile("charrnn")

# A job in the background of a script inherits an ignored Ctrl-C, and so would what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
