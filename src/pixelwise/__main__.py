"""``python -m pixelwise``: the command, also where its script is not on the path."""

from pixelwise.cli import main

if __name__ == "__main__":
    main()
