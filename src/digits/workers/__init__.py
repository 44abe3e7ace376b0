"""Places where members are trained: this machine's processes and GPUs; and the reports of their progress."""
