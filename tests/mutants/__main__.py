"""`python -m tests.mutants`: see tests.mutants.run."""

import sys

from tests.mutants.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
