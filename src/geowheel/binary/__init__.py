"""What is inside ELF, Mach-O and PE files, as frozen values."""
