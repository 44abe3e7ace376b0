"""Pure functions on arrays: no TensorFlow, no files."""
