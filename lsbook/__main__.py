"""`python -m lsbook` is the command line."""

from lsbook.cli import main

main()
