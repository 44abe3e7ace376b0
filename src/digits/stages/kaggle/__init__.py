"""What has to do with Kaggle: the kernel, the upload, the download."""
