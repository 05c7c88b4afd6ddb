"""`python -m zoolib` is the command `zoolib`."""

import sys

from zoolib.cli import main

sys.exit(main())
