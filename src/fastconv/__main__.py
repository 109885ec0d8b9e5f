"""Entry point of the `fastconv` command and of `python -m fastconv`."""

import sys


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        from fastconv.cli import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich"):
            raise
        sys.exit(
            f"fastconv: the command line needs {missing}, which is not installed. Install it "
            'with: pip install "fastconv[cli]"'
        )
    app()


if __name__ == "__main__":
    main()
