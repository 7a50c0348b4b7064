"""What somebody who uses lsbook has written: nothing of it is known to the package, which imports it by name."""
