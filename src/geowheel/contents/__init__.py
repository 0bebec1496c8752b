"""What a wheel says of its contents: origins, SBOM, licenses, drivers."""
