"""One module a Make target, each with one `run`; stages meet in the files of a run, never in imports."""
