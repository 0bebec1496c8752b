"""What runs in the interpreter of a target."""
