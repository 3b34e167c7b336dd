"""`python -m epochbank.train`: the same command line as `train`."""

from .cli import main

if __name__ == "__main__":
    main()
