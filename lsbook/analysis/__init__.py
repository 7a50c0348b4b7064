"""What the chapters compute from recorded arrays: NumPy and SciPy in float64, no torch."""
