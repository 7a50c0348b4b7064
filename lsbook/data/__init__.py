"""Data sets: where their files are, how they are checked and decoded."""
