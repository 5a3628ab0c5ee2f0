"""From a data set's items to the batches that a network is trained and measured on."""
