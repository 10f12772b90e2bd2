"""`python -m bl_compiler` is `blc`. May import: `cli`."""

from bl_compiler.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
