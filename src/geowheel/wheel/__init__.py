"""What is inside a wheel, its checks, the private rewriting, and the canonical writer."""
