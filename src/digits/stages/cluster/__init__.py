"""Cluster the out-of-fold features: purity, silhouette, maps, suspicious labels."""
