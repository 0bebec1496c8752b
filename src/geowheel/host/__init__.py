"""What a host says of itself: its configuration, its files, and the project that they are in."""
