"""The one loop over the stages, runs of several targets, and what is said of them."""
