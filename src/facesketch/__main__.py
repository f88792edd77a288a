"""`python -m facesketch`, the same as the `facesketch` command."""

from facesketch.cli import main

if __name__ == "__main__":
    main()
