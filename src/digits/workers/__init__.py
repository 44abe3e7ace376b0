"""Where members and trials run: the processes of this machine, its GPUs, or a Dask cluster."""
