"""What every unit test shares."""

import os
import signal
import threading

os.environ.setdefault("MPLBACKEND", "agg")  # figures without windows; kernels get their own (see pairs)
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("NNLAB_DEVICE", "cpu")  # tests of a GPU name it themselves

# Started in the background of a shell, we would inherit that Ctrl-C is ignored, and so would every process under test.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
