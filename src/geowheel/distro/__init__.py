"""The distribution's own packages as a conda channel, and interpreters made of them."""
