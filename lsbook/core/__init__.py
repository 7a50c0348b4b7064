"""What everything stands on: errors, paths, names of data sets and networks, runs, and their store."""
