"""`python -m epochbank.augment`: the same command line as `augment`."""

from .cli import main

if __name__ == "__main__":
    main()
