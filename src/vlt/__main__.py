"""`python -m vlt`."""

from vlt.cli import main

if __name__ == "__main__":
    main()
