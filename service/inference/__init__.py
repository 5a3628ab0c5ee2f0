"""Models and what runs them: packages on disk, sessions, batches, and the way from an image to its outputs."""
