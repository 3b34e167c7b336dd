"""`python -m train`: the same command line as `train`."""

from train.cli import main

if __name__ == "__main__":
    main()
