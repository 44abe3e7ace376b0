"""Workers of members and trials: this machine's processes and GPUs, or a Dask cluster; their progress and time."""
