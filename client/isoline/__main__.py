"""`python -m isoline` is the command."""

from isoline.command import main

if __name__ == "__main__":
    main()
