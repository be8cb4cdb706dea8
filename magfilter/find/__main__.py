"""`python -m magfilter.find` is `magfilter-find`."""

from magfilter.find.command import main

main()
