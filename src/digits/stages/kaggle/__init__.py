"""Kaggle: the kernel, the upload, the download."""
