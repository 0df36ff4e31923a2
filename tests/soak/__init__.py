"""The soak: commands that are killed and files that are damaged, compared with runs that nobody touched. `make soak`; see `cases`."""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when libraries are loaded
    os.environ.setdefault(_name, "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
