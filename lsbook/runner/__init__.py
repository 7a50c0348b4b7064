"""Takes recorded runs from the store and trains what is missing: alone, in a pool of processes, or on a cluster."""
