"""The life of a run: configuration, training, folder, checkpoints, recordings."""
