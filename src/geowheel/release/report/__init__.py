"""The report of a release: what is known of its wheels, read, and written as a page."""
