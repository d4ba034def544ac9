"""The lessons, one module per claim, and `prove`, which runs them."""
