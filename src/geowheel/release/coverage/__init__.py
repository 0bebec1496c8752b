"""Which wheel pip picks on which system of a user, and why none."""
