"""Model repositories in a store of objects, such as S3: an address, and a local copy that is served."""
