"""The lessons, one file for each claim, and `prove`, which runs them."""
