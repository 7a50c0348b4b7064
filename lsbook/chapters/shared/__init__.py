"""What chapters share: comparisons of runs, captions, tables of claims."""
