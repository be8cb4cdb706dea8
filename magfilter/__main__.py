"""`python -m magfilter` is `magfilter`."""

from magfilter.entry import magnify

if __name__ == "__main__":
    magnify()
