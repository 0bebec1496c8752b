"""From exact packages to a prefix: store, downloads, linker, wrappers."""
