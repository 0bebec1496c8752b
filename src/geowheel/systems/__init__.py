"""What differs between Linux, macOS and Windows: one module for each thing that a system does."""
