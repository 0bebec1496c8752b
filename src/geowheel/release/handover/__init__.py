"""Wheels and records from one machine to another: export and collect."""
