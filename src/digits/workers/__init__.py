"""Where members are trained: this machine's processes and GPUs, and how they report their progress."""
