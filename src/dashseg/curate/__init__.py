"""What is done to a data set before training: fetch, check, stats, split, pack."""
