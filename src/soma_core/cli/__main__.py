"""``python -m soma_core.cli`` is ``soma``."""

import sys

from . import main

sys.exit(main())
