"""What is inside a wheel and its binaries, as frozen values; and one canonical writer."""
