"""`python -m magfilter.find` is `magfilter-find`."""

from magfilter.entry import find

if __name__ == "__main__":
    find()
