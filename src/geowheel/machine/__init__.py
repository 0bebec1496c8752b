"""What this machine has and runs: interpreters, their environments, processes."""
