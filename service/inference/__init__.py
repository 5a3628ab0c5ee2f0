"""Running models: packages on disk, sessions, batches, and the way from an image to its outputs."""
