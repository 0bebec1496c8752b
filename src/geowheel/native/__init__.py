"""The native stack: manifest, locks, channels, store, linker."""
