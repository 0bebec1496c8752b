"""Whether the same comes out again: `reproduce` builds twice and compares."""
