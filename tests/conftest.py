"""What every unit test shares."""

import os

os.environ.setdefault("MPLBACKEND", "agg")  # figures without windows; kernels get their own (see pairs)
os.environ["TQDM_DISABLE"] = "1"
