"""Strange input for everything that reads what others write."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: cases are forked, which threads do not survive
