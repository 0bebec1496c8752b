"""This computer: processes, environments, interpreters, what a person sees, what is kept."""
