"""Our way against the plain way: `python -m benchmarks [NAME …] [--json FILE]` in the project's folder."""
