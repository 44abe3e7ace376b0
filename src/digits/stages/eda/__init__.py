"""Look at the data before anything is trained."""
