"""What is in a wheel, where it comes from, what it says of itself, and what must not be in it."""
