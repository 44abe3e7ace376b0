"""A module or folder a stage, each with one `run`; stages meet in the files of a run, never in imports."""
